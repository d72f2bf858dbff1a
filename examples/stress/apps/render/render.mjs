// Renders a page to a video, the way such programs do: a headless browser draws, ffmpeg encodes.
//
//     node render.mjs → chromium, with zygotes, a GPU process and a renderer
//                     → ffmpeg, which mixes a soundtrack without an end into it
//
// It goes on until it is told to stop.
import { spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

const page = fileURLToPath(new URL("page.html", import.meta.url));
const folder = mkdtempSync(join(tmpdir(), "render-"));
const { getuid } = process;
const browser = spawn("chromium", [
    "--headless", "--remote-debugging-port=0", `--user-data-dir=${join(folder, "profile")}`,
    "--disable-gpu", "--no-first-run", "--disable-dev-shm-usage",
    // Chromium has no sandbox of its own for root.
    ...(getuid() === 0 ? ["--no-sandbox"] : []),
    `file://${page}`,
], { stdio: ["ignore", "ignore", "pipe"], env: { ...process.env, HOME: folder, TMPDIR: folder } });
const encoder = spawn("ffmpeg", [
    "-loglevel", "error", "-f", "image2pipe", "-framerate", "10", "-i", "-",
    "-re", "-f", "lavfi", "-i", "sine=frequency=440",
    "-c:v", "mpeg2video", "-f", "mpegts", "-y", join(folder, "video.ts"),
], { stdio: ["pipe", "ignore", "inherit"] });

let stopping = false;
function stop(status) {
    if (stopping) return;
    stopping = true;
    browser.kill();
    encoder.kill();
    // ffmpeg heeds a signal only once its input has ended.
    encoder.stdin.destroy();
    let left = 2;
    for (const child of [browser, encoder]) {
        const ended = () => {
            if (--left > 0) return;
            rmSync(folder, { recursive: true, force: true });
            process.exit(status);
        };
        if (child.exitCode === null && child.signalCode === null) child.on("exit", ended); else ended();
    }
}
process.on("SIGTERM", () => stop(0));
process.on("SIGINT", () => stop(0));
for (const child of [browser, encoder]) child.on("exit", () => stop(1));
encoder.stdin.on("error", () => stop(1));

// The browser says where it listens, on a port of its own choice.
const address = await new Promise((resolve) => {
    createInterface({ input: browser.stderr }).on("line", (line) => {
        const found = /DevTools listening on ws:\/\/([^/]+)/.exec(line);
        if (found) resolve(found[1]);
    });
});
const targets = await (await fetch(`http://${address}/json/list`)).json();
const socket = new WebSocket(targets.find((target) => target.type === "page").webSocketDebuggerUrl);
const answers = new Map();
socket.onmessage = ({ data }) => {
    const { id, result } = JSON.parse(data);
    answers.get(id)?.(result);
    answers.delete(id);
};
socket.onclose = () => stop(1);
await new Promise((resolve) => { socket.onopen = resolve; });

for (let id = 1; !stopping; id++) {
    const shot = await new Promise((resolve) => {
        answers.set(id, resolve);
        socket.send(JSON.stringify({ id, method: "Page.captureScreenshot", params: { format: "jpeg" } }));
    });
    if (!stopping) encoder.stdin.write(Buffer.from(shot.data, "base64"));
    if (id === 5) console.log("rendering");
    await new Promise((resolve) => { setTimeout(resolve, 100); });
}
