"""A simple package index over a folder that drops the first connection half-way and understands Range afterwards.

    flaky_index.py FOLDER LOG      prints its port; writes one line per wheel request into LOG
"""
import http.server
import pathlib
import sys

FOLDER, LOG = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])
dropped = set()


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        path = FOLDER / self.path.strip("/")
        if path.is_dir():
            path = path / "index.html"
        if not path.exists():
            self.send_error(404)
            return
        body = path.read_bytes()
        begin = 0
        if asked := self.headers.get("Range"):
            begin = int(asked.removeprefix("bytes=").split("-")[0])
        self.send_response(206 if begin else 200)
        if begin:
            self.send_header("Content-Range", f"bytes {begin}-{len(body) - 1}/{len(body)}")
        self.send_header("Content-Length", str(len(body) - begin))
        self.end_headers()
        if path.suffix == ".whl":
            with LOG.open("a") as log:
                log.write(f"{path.name} from {begin}\n")
            if path not in dropped:
                dropped.add(path)
                self.wfile.write(body[: len(body) // 2])
                return
        self.wfile.write(body[begin:])

    def log_message(self, *_):
        pass


server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
print(server.server_port, flush=True)
server.serve_forever()
