// The processes of HyreLog for PM2: `pm2 start deploy/ecosystem.config.js` (docs/deployment.md).
//
// Settings come from the environment in which PM2 is called, or from the file `env` in HYRELOG_HOME (by default
// .hyrelog in the checkout), which HyreLog reads by itself. Secrets are better kept in the file: PM2 writes the
// environment of what it runs to ~/.pm2/dump.pm2 (`pm2 save`).

"use strict";

const path = require("node:path");

const checkout = path.resolve(__dirname, "..");

const app = (name, program, args, more) => ({
  name,
  script: path.join(checkout, ".venv", "bin", program),
  args,
  interpreter: "none",
  cwd: checkout,
  env: { PYTHONUNBUFFERED: "1" },
  // PM2 gives up after 16 starts that last less than a second each, within 16 seconds. With this pause (ms) it never
  // gets that far: Postgres may be away for an hour.
  restart_delay: 2000,
  // The signal goes to the main process alone. By default PM2 sends it to all the children as well: where it is SIGTERM
  // (PM2_KILL_SIGNAL; usually SIGINT), a worker's end in the middle of a task, and Celery takes that for a crash.
  treekill: false,
  kill_timeout: 10000,
  vizion: false, // no business with git
  ...more,
});

module.exports = {
  apps: [
    // One process: without --workers nothing is left behind when it is killed. uvicorn's workers would outlive a killed
    // parent and keep the port, so that PM2 could not start the next one.
    app(
      "hyrelog-web",
      "uvicorn",
      [
        ...["hyrelog.asgi:application", "--host", "127.0.0.1", "--port", process.env.PORT || "8000", "--workers", "1"],
        ...["--timeout-graceful-shutdown", "30", "--ws-max-size", "1024", "--lifespan", "off", "--no-access-log"],
      ],
      { kill_timeout: 40000 },
    ),
    // A worker hands back the jobs that are not finished after JOB_SHUTDOWN_TIMEOUT (15 s by default), and finishes the
    // webhooks on the wire, which takes up to WEBHOOK_TIMEOUT_SECONDS (15 by default), and 20 s more without Postgres.
    // It ends itself 10 s after the longer of both: with higher settings, give more here as well.
    app("hyrelog-worker", "celery", ["-A", "hyrelog", "worker", "--loglevel", "INFO"], { kill_timeout: 60000 }),
    app("hyrelog-beat", "celery", ["-A", "hyrelog", "beat", "--loglevel", "INFO"]),
    app("hyrelog-flower", "celery", ["-A", "hyrelog", "flower"]),
  ],
};
