"""A service: photos and videos come by HTTP, people go back; and the page that shows them (extra ``serve``)."""
