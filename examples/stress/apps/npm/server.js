// A web server with a worker, which runs a tool for a request:
//
//     npm start → sh → node → node (the worker) → psc, which has a child, and a daemon of its own
"use strict";
const cluster = require("node:cluster");
const { spawn } = require("node:child_process");
const http = require("node:http");
const path = require("node:path");

const psc = [path.join(__dirname, "../../../celery/tools/psc"), "/dev/null", "stress", "/"];
// The only difference between the two sides; `cgrun stress` sets the variable.
const contained = process.env.CGRUN_STRESS === "bare" ? [] : [process.env.CGRUN || "cgrun", "--quiet", "--"];

if (cluster.isPrimary) {
    // A worker that died is replaced. One that could not listen would die again.
    const served = new Set();
    cluster.on("listening", (worker) => served.add(worker.id));
    cluster.on("exit", (worker) => {
        if (!served.has(worker.id)) process.exit(1);
        cluster.fork();
    });
    cluster.fork();
} else {
    http.createServer((request, response) => {
        if (request.url !== "/scrape") return response.end("hello\n");
        const [program, ...rest] = [...contained, ...psc];
        spawn(program, rest, { stdio: "ignore" }).on("exit", (status) => response.end(`${status}\n`));
    }).listen(Number(process.env.PORT), "127.0.0.1");
}
