"""A webhook's other end, inside the testhost: every body that arrives becomes a line of /root/alerts."""

import http.server
import pathlib


class Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        with pathlib.Path("/root/alerts").open("ab") as file:
            file.write(body.replace(b"\n", b" ") + b"\n")
        self.send_response(204)
        self.end_headers()


http.server.HTTPServer(("127.0.0.1", 9000), Handler).serve_forever()
