"""Pure decisions on plain data, without clock, environment, network or log."""
