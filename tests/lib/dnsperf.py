"""dnsperf, a load generator of the trade, as a client: over UDP, TCP, TLS and HTTPS."""
import re
import subprocess

COUNTS = {"sent": r"Queries sent:\s+(\d+)", "completed": r"Queries completed:\s+(\d+)",
          "lost": r"Queries lost:\s+(\d+)", "interrupted": r"Queries interrupted:\s+(\d+)",
          "reconnections": r"Reconnections:\s+(\d+)"}


class Run:
    """One run, from its beginning on. mode: udp, tcp, dot or doh; more: further words."""

    def __init__(self, mode, port, questions, seconds, rate=0, clients=1, timeout=5, more=()):
        words = ["dnsperf", "-m", mode, "-s", "127.0.0.1", "-p", str(port), "-d", str(questions),
                 "-l", str(seconds), "-c", str(clients), "-t", str(timeout), "-W", *more]
        if rate:
            words += ["-Q", str(rate)]
        if mode == "doh":
            words += ["-O", "doh-uri=https://localhost/dns-query"]
        self.mode, self.text = mode, ""
        self.process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                        stderr=subprocess.STDOUT, text=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.communicate()

    def finish(self, seconds):
        """What it counted: sent, completed, lost ..., and rcodes, by name."""
        self.text = self.process.communicate(timeout=seconds)[0]
        found = {name: re.search(pattern, self.text) for name, pattern in COUNTS.items()}
        assert found["completed"], self.text
        counts = {name: int(match.group(1)) if match else 0 for name, match in found.items()}
        line = re.search(r"Response codes:\s+(.*)", self.text)
        counts["rcodes"] = {code: int(n) for code, n in
                            re.findall(r"(\w+) (\d+) \(", line.group(1) if line else "")}
        return counts
