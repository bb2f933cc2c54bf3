"""A certificate authority of a test's own, and what it signs; made with the openssl program."""

import subprocess
from pathlib import Path


def _openssl(*arguments: str | Path) -> None:
    subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True)


class Authority:
    """`certificate` is what its believers are given."""

    def __init__(self, directory: Path, name: str):
        directory.mkdir(parents=True, exist_ok=True)
        self._directory, self._name = directory, name
        self.certificate = directory / f"{name}.crt"
        self._key = directory / f"{name}.key"
        _openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
                 "-subj", f"/CN={name}", "-keyout", self._key, "-out", self.certificate)

    def sign(self, common_name: str, host: str = "") -> tuple[Path, Path]:
        """The certificate and the key of somebody by that name; `host`: the only host it speaks for."""
        stem = self._directory / f"{self._name}-{common_name}"
        certificate, key, request, extra = (stem.with_suffix(f".{kind}") for kind in ("crt", "key", "csr", "ext"))
        extra.write_text(f"subjectAltName=DNS:{host}\n" if host else "basicConstraints=CA:FALSE\n")
        _openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-subj", f"/CN={common_name}",
                 "-keyout", key, "-out", request)
        _openssl("x509", "-req", "-in", request, "-CA", self.certificate, "-CAkey", self._key, "-CAcreateserial", "-days", "2",
                 "-extfile", extra, "-out", certificate)
        key.chmod(0o600)
        return certificate, key
