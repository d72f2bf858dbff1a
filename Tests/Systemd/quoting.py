"""Random arguments and variables through the generator and a real systemd to a program that writes them down."""
import os
from concurrent.futures import ThreadPoolExecutor

import support

COUNT = int(os.environ.get("QUOTING_COUNT", "5000"))
# Commands in one unit: a oneshot service runs them one after the other.
BATCH = 100
PATHS = ["/usr/local/bin/record", "/usr/local/bin/a blank%n $x é;#", "/opt/%i/record"]


def generate(directory):
    """Units, and what each command in them has to see."""
    random = support.generator(20261121)
    vectors = []
    for index in range(COUNT):
        vector = [support.random_bytes(random) for _ in range(random.randrange(0, 7))]
        if index % 500 == 7:
            vector.append(support.long_bytes(random))
        vectors.append((PATHS[index % 50 if index % 50 < len(PATHS) else 0], vector))

    def line(item):
        path, vector = item
        return support.execstart(support.cgrun("service", "x", "--", path, *vector))

    with ThreadPoolExecutor(2) as pool:
        lines = list(pool.map(line, vectors))
    for batch in range(0, COUNT, BATCH):
        name = f"argv-{batch // BATCH}"
        with open(f"{directory}/{name}.service", "w") as file:
            file.write(f"[Service]\nType=oneshot\nEnvironment=RECORD_TO=/out/{name}\n")
            file.write("\n".join(lines[batch:batch + BATCH]) + "\n")
    values = [support.random_bytes(random) for _ in range(COUNT)]
    for index in range(7, COUNT, 1000):
        values[index] = support.long_bytes(random)
    for batch in range(0, COUNT, BATCH):
        name = f"env-{batch // BATCH}"
        options = []
        for index, value in enumerate(values[batch:batch + BATCH]):
            # Some as `-E K=V`, some as one word.
            options += ["-E", b"V%d=%s" % (index, value)] if index % 2 else [b"--setenv=V%d=%s" % (index, value)]
        text = support.cgrun("service", name, "-E", f"RECORD_TO=/out/{name}", "--restart", "no", "--stop-timeout", "5s",
                             *options, "--", PATHS[0])
        with open(f"{directory}/{name}.service", "w") as file:
            file.write(text.replace("Type=exec", "Type=oneshot"))
    return vectors, values


def compare(out, vectors, values):
    wrong = []
    for batch in range(0, COUNT, BATCH):
        path = f"{out}/argv-{batch // BATCH}"
        records = support.read_records(path) if os.path.exists(path) else []
        for offset, (program, vector) in enumerate(vectors[batch:batch + BATCH]):
            seen = records[offset][0] if offset < len(records) else None
            if seen != [program.encode()] + vector:
                wrong.append(f"argv {batch + offset}: {vector!r:.300} arrived as {seen!r:.300}")
        path = f"{out}/env-{batch // BATCH}"
        record = (support.read_records(path) if os.path.exists(path) else [([], [], "")])[0]
        seen = dict(entry.partition(b"=")[::2] for entry in record[1])
        for offset, value in enumerate(values[batch:batch + BATCH]):
            if seen.get(b"V%d" % offset) != value:
                wrong.append(f"env {batch + offset}: {value!r:.300} arrived as {seen.get(b'V%d' % offset)!r:.300}")
    return wrong


SCRIPT = """
cp /units/*.service /run/systemd/system/
mkdir -p '/opt/%i'
for path in /usr/local/bin/record '/usr/local/bin/a blank%n $x é;#' '/opt/%i/record'; do cp /tools/record "$path"; done
systemctl daemon-reload
for unit in /units/*.service; do
  systemctl start "${unit##*/}" || { systemctl status --no-pager "${unit##*/}" | cut -c 1-300; }
done
"""


def run(suites):
    place = support.workplace()
    try:
        os.mkdir(f"{place}/units")
        support.build_recorder(place)
        vectors, values = generate(f"{place}/units")
        for suite in suites:
            out = f"{place}/out-{suite}"
            os.mkdir(out)
            status, output = support.boot(
                suite, SCRIPT, [f"{place}/units:/units", f"{place}:/tools", f"{out}:/out:rw"])
            wrong = compare(out, vectors, values)
            for line in wrong[:10]:
                print(line)
            yield (f"{suite}: {COUNT} argument vectors and {COUNT} values arrive byte for byte", status == 0 and not wrong,
                   f"{len(wrong)} differ; {output[-1500:]}")
    finally:
        support.remove(place)
