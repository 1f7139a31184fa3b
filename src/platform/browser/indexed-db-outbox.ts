import type { Cid } from "../../base/ids.ts";
import { randomHex } from "../../base/random.ts";
import type { Random } from "../../base/random.ts";
import type { OutboxStore, SavedPosition, SavedSend } from "../../client/ports.ts";
import { browserRandom } from "./browser-ports.ts";

/**
 * The outbox in IndexedDB, shared by all pages of one origin.
 *
 * Every page writes under a name of its own and holds a lock of that name while it lives. A page that starts takes over
 * what belongs to no living page, so that two open pages do not send each other's messages. Where the platform has no
 * locks, everything is taken over: the same message may then be sent by two pages, and the server stores it once.
 */
interface SendRow {
  readonly owner: string;
  readonly user: string;
  readonly send: SavedSend;
}

const version = 1;

export function indexedDbOutbox(options: {
  readonly user: string;
  /** @defaultValue the browser's own */
  readonly random?: Random;
  readonly name?: string;
}): OutboxStore {
  const { user } = options;
  const name = options.name ?? "synod-outbox";
  const owner = randomHex(options.random ?? browserRandom(), 16);
  const release = holdLock(lockName(name, owner));
  let opened: Promise<IDBDatabase> | null = null;
  const database = (): Promise<IDBDatabase> => (opened ??= open(name));
  /** Who a restored send was saved by, so that it is removed where it lies. */
  const ownerOf = new Map<Cid, string>();

  return {
    load: async () => {
      await release;
      const db = await database();
      const reading = db.transaction(["sends", "positions"], "readonly");
      const [rows, positions] = await Promise.all([
        settled(reading.objectStore("sends").getAll() as IDBRequest<SendRow[]>),
        settled(reading.objectStore("positions").getAll(positionsOf(user)) as IDBRequest<SavedPosition[]>),
      ]);
      const mine = rows.filter((row) => row.user === user);
      const orphaned = new Set<string>();
      for (const other of new Set(mine.map((row) => row.owner))) {
        if (await takeOver(lockName(name, other))) orphaned.add(other);
      }
      const adopted = mine.filter((row) => orphaned.has(row.owner));
      // A page's numbers go on above those it took over, so this is the order within each line of pages.
      adopted.sort((a, b) => a.send.number - b.send.number);
      for (const row of adopted) ownerOf.set(row.send.cid, row.owner);
      return { sends: adopted.map((row) => row.send), positions };
    },
    save: async (send) => {
      const by = ownerOf.get(send.cid) ?? owner;
      const row: SendRow = { owner: by, user, send };
      await write(await database(), "sends", (store) => store.put(row, [by, user, send.room, send.cid]));
    },
    remove: async (send) => {
      const by = ownerOf.get(send.cid) ?? owner;
      ownerOf.delete(send.cid);
      await write(await database(), "sends", (store) => store.delete([by, user, send.room, send.cid]));
    },
    savePosition: async (position) => {
      await write(await database(), "positions", (store) => store.put(position, [user, position.room]));
    },
  };
}

const lockName = (name: string, owner: string): string => `${name}:${owner}`;
/** All keys that begin with this user: an array is greater than every text. */
const positionsOf = (user: string): IDBKeyRange => IDBKeyRange.bound([user], [user, []]);

const nothing = (): void => undefined;
/** Never settles: what waits for it is held until the page is gone. */
const forLife = (): Promise<void> => new Promise<void>(nothing);

/** Settles once the lock is held, which it is for the life of the page. */
function holdLock(lock: string): Promise<void> {
  if (navigator.locks === undefined) return Promise.resolve();
  return new Promise((resolve, reject) => {
    navigator.locks
      .request(lock, () => {
        resolve();
        return forLife();
      })
      .catch(reject);
  });
}

/** Says whether the page of this lock is gone; then the lock is held from now on, so that no third page takes over too. */
async function takeOver(lock: string): Promise<boolean> {
  if (navigator.locks === undefined) return true;
  return new Promise((resolve, reject) => {
    navigator.locks
      .request(lock, { ifAvailable: true }, (held) => {
        resolve(held !== null);
        return held === null ? Promise.resolve() : forLife();
      })
      .catch(reject);
  });
}

function open(name: string): Promise<IDBDatabase> {
  const request = indexedDB.open(name, version);
  request.onupgradeneeded = () => {
    request.result.createObjectStore("sends");
    request.result.createObjectStore("positions");
  };
  return settled(request);
}

/** One change in a transaction of its own; settles when the transaction is complete. */
function write(db: IDBDatabase, store: string, change: (store: IDBObjectStore) => IDBRequest): Promise<void> {
  return new Promise((resolve, reject) => {
    const transaction = db.transaction(store, "readwrite", { durability: "strict" });
    transaction.oncomplete = () => resolve();
    transaction.onabort = () => reject(transaction.error ?? new Error("the transaction was aborted"));
    transaction.onerror = () => reject(transaction.error ?? new Error("the transaction failed"));
    change(transaction.objectStore(store));
  });
}

function settled<T>(request: IDBRequest<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error ?? new Error("the request failed"));
  });
}
