"""The page a work folder ends in: one HTML file with charts and numbers that opens without a network.

Nothing here computes a result. The page draws frozen values that other rooms made, and says beside each number how far
it can be trusted. plotly and Jinja2 load when a page is written, not before.
"""

from chidu.report.content import ReportContent
from chidu.report.page import write_report

__all__ = ["ReportContent", "write_report"]
