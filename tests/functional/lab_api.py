"""A small API server for a laboratory: keeps what it is given and writes down what it was asked.

  lab_api.py PORT FILE   FILE gets a JSON line for each request: [method, path, body, status]

It has a Pod app/old and a ConfigMap app/old from an earlier time, is away for the first requests, and
takes no object with the label "bad"."""
import http.server
import json
import sys

AWAY = 3


class Api(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    asked = 0
    objects = {"/api/v1/namespaces/app/pods/old": {"metadata": {"name": "old"}},
               "/api/v1/namespaces/app/configmaps/old": {"metadata": {"name": "old"}, "data": {"x": "y"}}}

    def answer(self, path, body):
        """Status and object."""
        Api.asked += 1
        if Api.asked <= AWAY:
            return 503, {}
        if body and "bad" in body.get("metadata", {}).get("labels", {}):
            return 422, {"kind": "Status", "reason": "Invalid", "message": "bad is no good"}
        if self.command == "POST":
            return self.create(path + "/" + body["metadata"]["name"], body)
        if path.removesuffix("/status") not in self.objects:
            return 404, {}
        if self.command == "DELETE":
            if self.path != path or "/pods/" not in path:  # with gracePeriodSeconds=0
                del self.objects[path]
            return 200, {}
        change(self.objects[path.removesuffix("/status")], body)
        return 200, self.objects[path.removesuffix("/status")]

    def create(self, path, body):
        if path in self.objects:
            return 409, {}
        if "/namespaces/app/" in path and "/api/v1/namespaces/app" not in self.objects:
            return 404, {"message": "there is no namespace app"}
        if "/services/" in path:
            body["spec"]["clusterIP"] = "10.96.3.4"
        self.objects[path] = body
        return 201, body

    def do(self):
        text = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        body = json.loads(text) if text else None
        status, reply = self.answer(self.path.split("?")[0], json.loads(text) if text else None)
        with open(sys.argv[2], "a", encoding="utf-8") as f:
            f.write(json.dumps([self.command, self.path, body, status]) + "\n")
        data = json.dumps(reply).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    do_POST = do_PATCH = do_DELETE = do

    def log_message(self, *_):
        pass


def change(target, patch):
    """RFC 7386."""
    for key, value in patch.items():
        if value is None:
            target.pop(key, None)
        elif isinstance(value, dict) and isinstance(target.get(key), dict):
            change(target[key], value)
        else:
            target[key] = value


if __name__ == "__main__":
    http.server.ThreadingHTTPServer(("0.0.0.0", int(sys.argv[1])), Api).serve_forever()
