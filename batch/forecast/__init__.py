"""Forecast of net revenue for the next fourteen days, from the complete days of the mart.

`revenue` forecasts and tests, `store` reads the mart and writes what was published.
"""
