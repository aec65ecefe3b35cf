"""Figures and spans for a collector of OpenTelemetry, over OTLP."""
