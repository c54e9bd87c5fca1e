"""Serve a folder on loopback as cheaply as can be: nginx, or where it is missing, `sendfile`.

``serving_files(folder)`` is the one way in. Neither server copies a byte of a file through a
program's memory, so that what is measured is whoever reads.
"""

from __future__ import annotations

import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

NGINX = shutil.which("nginx", path="/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin")
_CONFIGURATION = """
daemon off; master_process off; pid {scratch}/pid; error_log {scratch}/errors;
events {{ worker_connections 256; }}
http {{
  access_log off; sendfile on; tcp_nopush on; keepalive_requests 1000000;
  default_type audio/wav;
  client_body_temp_path {scratch}; proxy_temp_path {scratch}; fastcgi_temp_path {scratch};
  uwsgi_temp_path {scratch}; scgi_temp_path {scratch};
  server {{ listen 127.0.0.1:{port}; root {folder}; }}
}}
"""


@contextmanager
def serving_files(folder: Path, scratch: Path) -> Iterator[str]:
    """The origin under which the files of ``folder`` are served, until the block ends."""
    with (_nginx if NGINX else _sendfile)(folder, scratch) as port:
        yield f"http://127.0.0.1:{port}"


@contextmanager
def _nginx(folder: Path, scratch: Path) -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as place:
        port = place.getsockname()[1]
    configuration = scratch / "nginx.conf"
    configuration.write_text(_CONFIGURATION.format(scratch=scratch, folder=folder, port=port))
    command = [str(NGINX), "-c", str(configuration), "-e", f"{scratch}/errors"]
    with subprocess.Popen(command) as process:
        try:
            _await(process, port)
            yield port
        finally:
            process.terminate()


def _await(process: subprocess.Popen[bytes], port: int) -> None:
    for _ in range(500):
        try:
            socket.create_connection(("127.0.0.1", port)).close()
        except ConnectionRefusedError:
            assert process.poll() is None, "nginx did not start"
            time.sleep(0.01)
        else:
            return
    raise RuntimeError("nginx does not answer")


@contextmanager
def _sendfile(folder: Path, _: Path) -> Iterator[int]:
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(_Handler, folder)) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def __init__(self, folder: Path, *of_the_server: object) -> None:
        self._folder = folder
        super().__init__(*of_the_server)  # type: ignore[arg-type]

    def do_GET(self) -> None:
        path = self._folder / self.path.lstrip("/")
        self.send_response(200)
        self.send_header("Content-Type", "audio/wav")
        self.send_header("Content-Length", str(path.stat().st_size))
        self.end_headers()
        with path.open("rb") as file:
            self.connection.sendfile(file)

    def log_message(self, *_: object) -> None:
        """Say nothing."""
