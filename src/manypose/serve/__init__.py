"""An HTTP service that predicts the people in photos and videos, and its web page (extra ``serve``)."""
