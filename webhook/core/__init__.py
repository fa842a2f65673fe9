"""The decisions, as functions of plain data: no clock, environment, network or logging below this package."""
