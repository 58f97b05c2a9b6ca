"""The log: what it says of the request and the prediction that a line is about, and its format.

Lines are for people; with LOG_FORMAT=json each is an object, for what collects logs.
"""
