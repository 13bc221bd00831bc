"""What is checked of the compiled graph before it is shipped."""

from zooc.verification.whole_graph import check_whole

__all__ = ["check_whole"]
