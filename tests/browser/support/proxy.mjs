// A proxy before a hub that can be told to let no WebSocket through, as some networks do.
import { createServer, request } from "node:http";
import { connect } from "node:net";
import { after } from "node:test";

export async function startProxy(target) {
  const { hostname, port } = new URL(target);
  const tunnels = new Set();
  const proxy = { open: true, refused: 0, requests: [] };
  const server = createServer((incoming, outgoing) => {
    proxy.requests.push(incoming.url);
    const forward = request({ hostname, port, path: incoming.url, method: incoming.method, headers: incoming.headers }, (answer) => {
      outgoing.writeHead(answer.statusCode, answer.headers);
      answer.pipe(outgoing);
    });
    forward.on("error", () => outgoing.destroy());
    outgoing.on("close", () => forward.destroy());
    incoming.pipe(forward);
  });
  server.on("upgrade", (incoming, socket, head) => {
    socket.on("error", () => {});
    if (!proxy.open) {
      proxy.refused += 1;
      socket.end("HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
      return;
    }
    const hub = connect({ host: hostname, port: Number(port) }, () => {
      const headers = [];
      for (let i = 0; i < incoming.rawHeaders.length; i += 2) headers.push(`${incoming.rawHeaders[i]}: ${incoming.rawHeaders[i + 1]}`);
      hub.write(`${incoming.method} ${incoming.url} HTTP/1.1\r\n${headers.join("\r\n")}\r\n\r\n`);
      hub.write(head);
      hub.pipe(socket).pipe(hub);
    });
    const close = () => {
      tunnels.delete(close);
      hub.destroy();
      socket.destroy();
    };
    tunnels.add(close);
    hub.on("error", close).on("close", close);
    socket.on("error", close).on("close", close);
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  proxy.url = `http://127.0.0.1:${server.address().port}`;
  /** No WebSocket passes any more; those that are open are cut. */
  proxy.refuse = () => {
    proxy.open = false;
    for (const close of [...tunnels]) close();
  };
  proxy.allow = () => {
    proxy.open = true;
  };
  after(() => {
    server.closeAllConnections();
    server.close();
    for (const close of [...tunnels]) close();
  });
  return proxy;
}
