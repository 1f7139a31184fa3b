import { Fault } from "../../base/error-codes.ts";
import { identityOf } from "./identity.ts";
import type { Target } from "./job.ts";
import { EtcdPublishWire } from "./wires/etcd.ts";
import { NatsPublishWire, NatsReaderWire } from "./wires/nats.ts";
import { RespPublishWire, RespReaderWire } from "./wires/resp.ts";
import { SocketIoPublishWire, SocketIoReaderWire } from "./wires/socket-io.ts";
import { SynodJsonPublishWire } from "./wires/synod-json.ts";
import { SynodPublishWire } from "./wires/synod-publish.ts";
import { SynodReaderWire, SynodWebSocketReaderWire } from "./wires/synod-read.ts";
import type { PublishWire, ReaderWire, WireName } from "./wires/wire.ts";

type WireTarget = Pick<Target, "host" | "rooms" | "proof">;

/**
 * The publishing half of a wire for client number `client` of `clients`. With more rooms than clients each gets its share
 * of them, where the wire can send to several; otherwise it sends to one. `isLinked`: see `SynodPublishOptions`.
 */
export function makePublishWire(
  wire: WireName,
  target: WireTarget,
  options: { client: number; clients: number; bodyBytes: number; isLinked?: boolean },
): PublishWire {
  const { client, clients, bodyBytes, isLinked = true } = options;
  const room = target.rooms[client % target.rooms.length] ?? "bench";
  const share = target.rooms.filter((_, place) => place % clients === client % clients);
  const place = { ...identityOf(target.proof, `bench-${process.pid}-${client}`), room };
  switch (wire) {
    case "redis-stream":
      return new RespPublishWire({ command: "XADD", room, bodyBytes });
    case "redis-pubsub":
      return new RespPublishWire({ command: "PUBLISH", room, bodyBytes });
    case "nats-jetstream":
      return new NatsPublishWire({ subject: room, bodyBytes, client, acknowledged: true });
    case "nats-core":
      return new NatsPublishWire({ subject: room, bodyBytes, client, acknowledged: false });
    case "etcd":
      return new EtcdPublishWire({ host: target.host, client, bodyBytes });
    case "synod-binary":
      return new SynodPublishWire({
        ...place,
        rooms: share.length === 0 ? [room] : share,
        bodyBytes,
        client,
        isLinked,
      });
    case "synod-json":
      return new SynodJsonPublishWire({ place, bodyBytes, client });
    case "socket-io":
      return new SocketIoPublishWire({ host: target.host, bodyBytes });
    case "synod-websocket":
      throw new Fault("unsupported", "the generator publishes to Synod over TCP; WebSocket is for its readers");
  }
}

/** The reading half of a wire for reader number `reader`. */
export function makeReaderWire(
  wire: WireName,
  target: WireTarget,
  options: { reader: number; rooms: readonly string[]; bodyBytes: number },
): ReaderWire {
  const { bodyBytes } = options;
  const room = options.rooms[0] ?? "bench";
  const user = identityOf(target.proof, `reader-${process.pid}-${options.reader}`);
  switch (wire) {
    case "redis-pubsub":
      return new RespReaderWire({ room, bodyBytes });
    case "nats-core":
      return new NatsReaderWire({ subject: room, bodyBytes });
    case "synod-binary":
    case "synod-json":
      return new SynodReaderWire({ place: { ...user, room }, bodyBytes });
    case "synod-websocket":
      return new SynodWebSocketReaderWire({
        place: user,
        rooms: options.rooms,
        host: target.host,
        bodyBytes,
      });
    case "socket-io":
      return new SocketIoReaderWire({ host: target.host, bodyBytes });
    case "redis-stream":
    case "nats-jetstream":
    case "etcd":
      throw new Fault("unsupported", `the generator has no reader for ${wire}`);
  }
}
