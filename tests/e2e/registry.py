"""A real registry with a password and a certificate of its own, and one small image in it, for as long as stdin is open.

    registry.py HOST:PORT DIRECTORY [ROOTFS.tar]

Writes DIRECTORY/ca.pem before anything else, prints `ready` once it answers. Without a root file system it makes one of
this machine's busybox.
"""

import datetime
import gzip
import hashlib
import io
import ipaddress
import json
import pathlib
import shutil
import subprocess
import sys
import tarfile
import time

import httpx
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

USER, PASSWORD = "e2e", "registry-password"
# Of that password; the registry reads no other kind of hash.
HTPASSWD = "e2e:$2y$05$VyjZzD5DBNUQatFkgt8J8ec9D7H276yPg04epecJUhqtnd/OHv3hi\n"
REPOSITORY, TAG = "base/tiny", "1"
PATIENCE_S = 60


def certificate(host, directory):
    """Makes an authority, and a certificate of it for one address."""
    now = datetime.datetime.now(datetime.timezone.utc)

    def make(title, issuer, signer, key, extensions):
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, title)])
        builder = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(issuer or name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(days=1))
            .not_valid_after(now + datetime.timedelta(days=30))
        )
        for extension in extensions:
            builder = builder.add_extension(extension, critical=False)
        return builder.sign(signer, hashes.SHA256())

    root, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    authority = make("e2e authority", None, root, root, [x509.BasicConstraints(ca=True, path_length=0)])
    address = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(host))])
    leaf = make("e2e registry", authority.subject, root, key, [address])
    pem = serialization.Encoding.PEM
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (directory / "key.pem").write_bytes(private)
    (directory / "cert.pem").write_bytes(leaf.public_bytes(pem))
    (directory / "ca.pem").write_bytes(authority.public_bytes(pem))


def rootfs():
    """A busybox and its names, as a tar archive."""
    busybox = shutil.which("busybox")
    assert busybox, "no busybox on this machine: install busybox-static"
    names = subprocess.run([busybox, "--list"], check=True, capture_output=True, text=True).stdout.split()
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:

        def add(name, kind=tarfile.REGTYPE, mode=0o755, content=b"", link=""):
            member = tarfile.TarInfo(name)
            member.type, member.mode, member.size, member.linkname = kind, mode, len(content), link
            tar.addfile(member, io.BytesIO(content))

        for name in ("bin", "etc", "root", "home", "var"):
            add(name, tarfile.DIRTYPE)
        add("tmp", tarfile.DIRTYPE, 0o1777)
        add("bin/busybox", content=pathlib.Path(busybox).read_bytes())
        for name in names:
            if name != "busybox":
                add(f"bin/{name}", tarfile.SYMTYPE, link="busybox")
        add("etc/passwd", mode=0o644, content=b"root:x:0:0:root:/root:/bin/sh\n")
        add("etc/group", mode=0o644, content=b"root:x:0:\n")
    return archive.getvalue()


def digest(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


def push(client, layer):
    """Pushes an image of one layer, as the distribution protocol says."""
    packed = gzip.compress(layer, compresslevel=1)
    config = json.dumps(
        {
            "architecture": "amd64",
            "os": "linux",
            "config": {"Env": ["PATH=/bin", "FROM_BASE=yes"], "Cmd": ["/bin/sh"]},
            "rootfs": {"type": "layers", "diff_ids": [digest(layer)]},
        }
    ).encode()
    for blob in (packed, config):
        begun = client.post(f"/v2/{REPOSITORY}/blobs/uploads/")
        begun.raise_for_status()
        where = httpx.URL(begun.headers["location"]).copy_merge_params({"digest": digest(blob)})
        client.put(where, content=blob, headers={"content-type": "application/octet-stream"}).raise_for_status()
    kind = "application/vnd.oci.image"
    manifest = {
        "schemaVersion": 2,
        "mediaType": f"{kind}.manifest.v1+json",
        "config": {"mediaType": f"{kind}.config.v1+json", "size": len(config), "digest": digest(config)},
        "layers": [
            {"mediaType": f"{kind}.layer.v1.tar+gzip", "size": len(packed), "digest": digest(packed)},
        ],
    }
    headers = {"content-type": manifest["mediaType"]}
    client.put(
        f"/v2/{REPOSITORY}/manifests/{TAG}", content=json.dumps(manifest), headers=headers
    ).raise_for_status()


def main():
    address, directory = sys.argv[1], pathlib.Path(sys.argv[2])
    host, _, _ = address.rpartition(":")
    directory.mkdir(parents=True, exist_ok=True)
    certificate(host, directory)
    (directory / "htpasswd").write_text(HTPASSWD)
    (directory / "config.yml").write_text(
        f"""version: 0.1
log: {{level: warn}}
storage: {{filesystem: {{rootdirectory: {directory}/data}}, delete: {{enabled: true}}}}
http: {{addr: "{address}", tls: {{certificate: {directory}/cert.pem, key: {directory}/key.pem}}}}
auth: {{htpasswd: {{realm: e2e, path: {directory}/htpasswd}}}}
"""
    )
    program = shutil.which("docker-registry")
    assert program, "no docker-registry on this machine: install it"
    with open(directory / "registry.log", "wb") as log:
        registry = subprocess.Popen([program, "serve", directory / "config.yml"], stdout=log, stderr=log)
    try:
        client = httpx.Client(
            base_url=f"https://{address}", auth=(USER, PASSWORD), verify=str(directory / "ca.pem"), timeout=PATIENCE_S
        )
        deadline = time.monotonic() + PATIENCE_S
        while True:
            try:
                client.get("/v2/").raise_for_status()
                break
            except httpx.TransportError:
                assert registry.poll() is None, (directory / "registry.log").read_text()
                assert time.monotonic() < deadline, "the registry does not answer"
                time.sleep(0.05)
        push(client, pathlib.Path(sys.argv[3]).read_bytes() if len(sys.argv) > 3 else rootfs())
        print("ready", flush=True)
        sys.stdin.read()
    finally:
        registry.terminate()
        registry.wait()


if __name__ == "__main__":
    main()
