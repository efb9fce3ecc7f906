// Follows with socket.io-client over WebSockets alone, and hands over what it is given, a line of JSON each. It subscribes as
// it is told by lines on its input, and ends with that.
import { createRequire } from "node:module";
import { createInterface } from "node:readline";

const require = createRequire(`${process.env.CHAOS_NODE_MODULES}/`);
const { io } = require("socket.io-client");

const say = (...what) => process.stdout.write(`${JSON.stringify(what)}\n`);

const socket = io(process.argv[2], {
  transports: ["websocket"],
  reconnectionDelay: 50,
  reconnectionDelayMax: 800,
  timeout: 3_000,
});
// How many connections there were: what was asked on one that is gone is not answered on the next.
let connections = 0;
socket.on("connect", () => {
  connections += 1;
  say("connect");
});
socket.on("disconnect", (reason) => {
  say("lost", reason);
  // A hub that closes says goodbye, and then the client would not come back by itself.
  if (reason === "io server disconnect") setTimeout(() => socket.connect(), 200);
});
socket.onAny((name, payload) => say("message", name, payload));

for await (const line of createInterface({ input: process.stdin })) {
  const told = JSON.parse(line);
  if (told.again) {
    socket.disconnect();
    setTimeout(() => socket.connect(), 200);
  } else if (socket.connected) {
    const asked = connections;
    socket.timeout(5_000).emit("subscribe", told.subscribe, (error, reply) => {
      if (asked !== connections) return;
      if (!error) {
        say("answer", reply);
      } else if (socket.connected) {
        say("lost", "subscribe was not answered");
        socket.disconnect();
        socket.connect();
      }
    });
  }
}
process.exit(0);
