"""A tree of files that is hard to keep, and the hash by which one tells whether it was."""

ROOT = "/home/daytona/tree"

# Names, modes, owners, times, links of both kinds, holes, and nothing at all.
FILL = f"""set -e
mkdir -p {ROOT}/deep/er/est {ROOT}/empty
cd {ROOT}
head -c 300000 /dev/urandom > deep/random
printf 'x' > 'deep/er/a name with spaces, ünïcode and a
line break'
: > deep/er/est/nothing
truncate -s 5000000 hole
printf 'end' >> hole
ln deep/random hard
ln -s deep/random soft
ln -s /nowhere dangling
mkfifo pipe
chmod 600 deep/random
chmod 1777 empty
touch -d '2001-02-03 04:05:06.789012345' deep/er/est/nothing
touch -h -d '1999-01-01 00:00:00.5' soft
sudo sh -c 'echo system > {ROOT}/owned && chown 12:34 {ROOT}/owned && chmod 4755 {ROOT}/owned'
sudo sh -c 'echo kept > /etc/kept.conf; rm /etc/issue; mkdir -p /opt/replaced && echo new > /opt/replaced/file'
"""

# Everything of a file but its place on the disk: what it is, its rights, owner, size, links, times, target, contents.
HASH = f"""set -e -o pipefail
cd {ROOT}
{{
  find . -printf '%P %y %m %U %G %n %T@ %l\\0' | LC_ALL=C sort -z
  find . ! -type d -printf '%P %s\\0' | LC_ALL=C sort -z
  sudo find . -type f -print0 | LC_ALL=C sort -z | sudo xargs -0r sha256sum
  sudo find /etc /opt -xdev ! -path '/etc/host*' ! -path '/etc/resolv.conf' -printf '%p %y %m %U %G %T@ %l\\n' | LC_ALL=C sort
  cat /etc/kept.conf /opt/replaced/file
}} | sha256sum"""


def run(sandbox, script):
    answer = sandbox.process.exec(script, timeout=60)
    assert answer.exit_code == 0, answer.result
    return answer.result


def fill(sandbox):
    run(sandbox, FILL)
    return digest(sandbox)


def digest(sandbox):
    found = run(sandbox, HASH).split()[0]
    assert len(found) == 64, found
    return found


def change(sandbox, number):
    """Makes the tree another one, so that an old copy of it would be noticed."""
    run(sandbox, f"echo {number} > {ROOT}/round; echo {number} >> {ROOT}/deep/log; sudo sh -c 'echo {number} > /etc/kept.conf'")
    return digest(sandbox)
