"""Recommendations: what a customer buys again, and what is new to them, trained from silver.

`history` reads silver, `models` scores products, `lists` ranks them, `quality` measures lists
against what customers bought later, `training` does all of it, `store` writes gold and the mart.
"""
