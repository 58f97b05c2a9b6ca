"""What Prometheus reads: counters that all processes share, and what apps read from the database.

Counters and histograms are those of `prometheus_client` in its mode for several processes: each
process counts in files of its own (`slots`), and whoever is asked adds up all of them.
"""
