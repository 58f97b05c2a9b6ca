"""Doing a request once however often it is sent: keys, and an adapter each for API and pages.

A key is taken before the work and its answer stored after it, both in the work's transaction:
requests with one key wait for the first, and a refusal leaves the key free.
"""
