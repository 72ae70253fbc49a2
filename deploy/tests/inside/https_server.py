"""Serves the working directory over https, with ranges: https_server.py PORT FOLDER_WITH_THE_CERTIFICATE [cut].

With `cut`, the first answer with each archive ends in its middle, as connections do.
"""

import http.server
import pathlib
import ssl
import sys

cut = set()


class Handler(http.server.SimpleHTTPRequestHandler):
    def do_GET(self):
        path = pathlib.Path(self.translate_path(self.path))
        if not path.is_file():
            self.send_error(404)
            return
        content = path.read_bytes()
        wanted = self.headers.get("Range")
        start = int(wanted[len("bytes=") :].rstrip("-")) if wanted else 0
        self.send_response(206 if wanted else 200)
        if wanted:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        is_first = sys.argv[3:] == ["cut"] and path.suffix == ".gz" and path not in cut
        cut.add(path)
        self.wfile.write(content[start : len(content) // 2 if is_first else None])


server = http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(f"{sys.argv[2]}/cert.pem", f"{sys.argv[2]}/key.pem")
server.socket = context.wrap_socket(server.socket, server_side=True)
server.serve_forever()
