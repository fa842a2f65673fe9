"""What every implementation of the ports must do; the fakes and the adapters pass the same suites.

A suite is a base class; a test module subclasses it and provides the fixture `world`.
"""
