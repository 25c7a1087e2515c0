/**
 * The Handoffs port between stores in memory: the durable steps of both shards are those of
 * protocols/handoff/records.ts, and the blocks are really copied, but there is no stream, no holder
 * and no client that writes meanwhile. For tests of what decides which chunks move; the handoff
 * itself has tests of its own.
 */
import type { HandoffEnd, Handoffs, HandoffWish } from '../../node/handoff/types.ts'
import type { ShardMap } from '../../node/map/types.ts'
import type { ShardRecord } from '../../node/storage/types.ts'
import { confirm, hold, prepare, release, reserve } from '../../protocols/handoff/records.ts'
import type { ChunkKey, HandoffId, NodeId, PlacementEpoch } from '../../protocols/ids.ts'
import { chunkName } from '../../protocols/ids.ts'
import { BLOCK_BYTES } from '../../protocols/limits.ts'
import { columnBytes } from '../../protocols/stripe/map.ts'
import type { MemoryChunkStore } from './shard-memory-store.ts'

/** The stores of a mesh, and what each node's map is told. */
export class MemoryHandoffMesh {
  readonly stores = new Map<NodeId, MemoryChunkStore>()
  readonly maps = new Map<NodeId, ShardMap>()
  readonly #turns = new Map<NodeId, Promise<unknown>>()
  #ids = 0

  /** Steps on the heads of one node wait for each other, as in the turns of a real shard. */
  async turn(node: NodeId, chunk: ChunkKey, step: Step): Promise<ShardRecord> {
    const before = this.#turns.get(node) ?? Promise.resolve()
    const now = before.then(async () => {
      const store = this.#store(node)
      const next = step(store.shard(chunk.volume))
      if (typeof next === 'string') throw new Error(next)
      await store.saveShard(next)
      return next
    })
    this.#turns.set(
      node,
      now.catch(() => undefined)
    )
    return now
  }

  async copy(from: NodeId, to: NodeId, chunk: ChunkKey, bytes: number): Promise<number> {
    const [source, target] = [this.#store(from), this.#store(to)]
    let copied = 0
    let at = 0
    const runs = await source.map(chunk, 0, bytes)
    for (const [index, blocks] of runs.entries()) {
      const length = blocks * BLOCK_BYTES
      if (index % 2 === 0 && length > 0) {
        const { data, crcs } = await source.read(chunk, at, length)
        await target.write(chunk, at, data, crcs)
        copied += length
      }
      at += length
    }
    if ((await source.digest(chunk)) !== (await target.digest(chunk))) throw new Error('digests')
    return copied
  }

  async free(node: NodeId, chunk: ChunkKey, bytes: number): Promise<void> {
    await this.#store(node).trim(chunk, 0, bytes)
  }

  /** A claim of the target on the chunk, put into the map where its document is already. */
  announce(from: NodeId, to: NodeId, chunk: ChunkKey, epoch: PlacementEpoch): void {
    const map = this.maps.get(from)
    const view = map?.volume(chunk.volume)
    const run = view?.layout.find(one => one.from <= chunk.extent && chunk.extent < one.to)
    if (map === undefined || run === undefined) return
    const nodes = run.nodes.map((replicas, column) => (column === chunk.column ? [to] : replicas))
    map.announceLayout(chunk.volume, { from: chunk.extent, to: chunk.extent + 1, nodes, epoch })
  }

  newId(): HandoffId {
    this.#ids += 1
    return this.#ids.toString(16).padStart(16, '0') as HandoffId
  }

  #store(node: NodeId): MemoryChunkStore {
    const store = this.stores.get(node)
    if (store === undefined) throw new Error(`no store on ${node}`)
    return store
  }
}

type Step = (head: ShardRecord | undefined) => ShardRecord | string

export class MemoryHandoffs implements Handoffs {
  readonly begun: string[] = []
  mostAtOnce = 0
  #sending = 0
  #gate: Promise<void> | undefined
  #open: () => void = () => undefined
  readonly #failures: HandoffEnd[] = []
  readonly #self: NodeId
  readonly #mesh: MemoryHandoffMesh

  constructor(self: NodeId, mesh: MemoryHandoffMesh) {
    this.#self = self
    this.#mesh = mesh
  }

  /** Handoffs stop in the middle of their copy until `release`. */
  hold(): void {
    this.#gate ??= new Promise(open => {
      this.#open = open
    })
  }

  release(): void {
    this.#gate = undefined
    this.#open()
  }

  /** The next handoff ends like this, and changes nothing. */
  failNext(why: string, mayRetry: boolean): void {
    this.#failures.push({ is: 'failed', why, mayRetry })
  }

  async pass(wish: HandoffWish): Promise<HandoffEnd> {
    this.#sending += 1
    this.mostAtOnce = Math.max(this.mostAtOnce, this.#sending)
    this.begun.push(chunkName(wish.chunk))
    try {
      return this.#failures.shift() ?? (await this.#pass(wish))
    } catch (error) {
      return { is: 'failed', why: String(error), mayRetry: false }
    } finally {
      this.#sending -= 1
    }
  }

  problems(): string[] {
    return []
  }

  counts() {
    return { sending: this.#sending, receiving: 0 }
  }

  async close(): Promise<void> {}

  async #pass({ chunk, to, signal, onProgress }: HandoffWish): Promise<HandoffEnd> {
    const head = this.#mesh.stores.get(this.#self)?.shard(chunk.volume)
    const run = head?.runs.find(
      one => one.column === chunk.column && one.from <= chunk.extent && chunk.extent < one.to
    )
    if (head === undefined || run === undefined) {
      return { is: 'failed', why: 'not held here', mayRetry: false }
    }
    const handoff = this.#mesh.newId()
    const { spec, sizeBytes, token, writer } = head
    const bytes = columnBytes(spec, chunk.column)
    const epoch = { token, counter: run.epoch.counter + 1 }
    const hello = { handoff, chunk, spec, sizeBytes, token, writer, epoch, reserveBytes: 0 }
    await this.#mesh.turn(to, chunk, there => reserve(there, this.#self, hello))
    onProgress({ phase: 'copying', totalBytes: bytes, sentBytes: 0 })
    if (this.#gate !== undefined) await Promise.race([this.#gate, aborted(signal)])
    if (signal.aborted) return { is: 'failed', why: 'called off', mayRetry: true }
    const sentBytes = await this.#mesh.copy(this.#self, to, chunk, bytes)
    onProgress({ phase: 'cutover', totalBytes: sentBytes, sentBytes })
    const wish = { sizeBytes, token, writer, epoch, digest: '' }
    await this.#mesh.turn(to, chunk, there => prepare(there, handoff, wish))
    const released = { chunk, handoff, to, token, heldAt: run.epoch, epoch }
    await this.#mesh.turn(this.#self, chunk, here => release(here, released))
    await this.#mesh.turn(to, chunk, there => hold(there, handoff, epoch))
    await this.#mesh.turn(this.#self, chunk, here => confirm(here, handoff))
    await this.#mesh.free(this.#self, chunk, bytes)
    this.#mesh.announce(this.#self, to, chunk, epoch)
    return { is: 'passed', bytes: sentBytes, pauseMs: 1 }
  }
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise(resolve => {
    if (signal.aborted) resolve()
    else signal.addEventListener('abort', () => resolve(), { once: true })
  })
}
