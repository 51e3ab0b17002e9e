"""The page that a law, or a whole work folder, ends in: one HTML file that opens without a network.

Nothing here computes a result. The page draws frozen values that other rooms made, and says beside each number how far
it can be trusted. plotly and Jinja2 load when a page is written, not before.
"""

from chidu.report.content import ReportContent
from chidu.report.lawpage import law_content
from chidu.report.page import write_report

__all__ = ["ReportContent", "law_content", "write_report"]
