"""Proofs and figures of durable tracking, too long for the suite: ``python -m tests.tracking --help``."""
