"""Doing a request once, however often it is sent: keys, and an adapter each for API and pages.

A key is taken before the work is done and its answer stored after it, both in the transaction of
the work. So requests with the same key wait for the first one, and a refusal leaves the key free.
"""
