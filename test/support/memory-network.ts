/**
 * Members in one process, connected by memory: the Network port for tests of everything above
 * libp2p. Streams have real backpressure (a paused reader fills the writer's queue), links can be
 * cut and healed, and bytes arrive in pieces, never in the tick in which they were sent.
 */

import type { ByteStream, Network } from '../../node/ports.ts'
import { ShoalError } from '../../protocols/fault.ts'
import type { NodeId } from '../../protocols/ids.ts'

const HIGH_MARK_BYTES = 1024 * 1024

export class MemoryMesh {
  readonly #members = new Map<NodeId, MemoryMember>()
  readonly #cut = new Set<string>()

  join(id: NodeId): MemoryMember {
    const member = new MemoryMember(id, this)
    for (const other of this.#members.values()) {
      other.notify(id, true)
      queueMicrotask(() => member.notify(other.self, true))
    }
    this.#members.set(id, member)
    return member
  }

  /** The member's process dies: its streams break, its handlers are gone. */
  leave(id: NodeId): void {
    this.#members.get(id)?.end()
    this.#members.delete(id)
    for (const other of this.#members.values()) {
      other.breakStreams(id)
      other.notify(id, false)
    }
  }

  cut(a: NodeId, b: NodeId): void {
    this.#cut.add(linkName(a, b))
    this.#members.get(a)?.breakStreams(b)
    this.#members.get(b)?.breakStreams(a)
    this.#members.get(a)?.notify(b, false)
    this.#members.get(b)?.notify(a, false)
  }

  heal(a: NodeId, b: NodeId): void {
    if (!this.#cut.delete(linkName(a, b))) return
    this.#members.get(a)?.notify(b, true)
    this.#members.get(b)?.notify(a, true)
  }

  reach(from: NodeId, to: NodeId): MemoryMember | undefined {
    return this.#cut.has(linkName(from, to)) ? undefined : this.#members.get(to)
  }

  others(of: NodeId): MemoryMember[] {
    return [...this.#members.values()].filter(m => m.self !== of && this.reach(of, m.self) === m)
  }
}

export class MemoryMember implements Network {
  readonly self: NodeId
  readonly #mesh: MemoryMesh
  readonly #handlers = new Map<string, (stream: ByteStream) => void>()
  readonly #topics = new Map<string, Array<(from: NodeId, bytes: Uint8Array) => void>>()
  readonly #peerListeners: Array<(peer: NodeId, connected: boolean) => void> = []
  readonly #streams = new Set<MemoryStream>()
  #isGone = false

  constructor(self: NodeId, mesh: MemoryMesh) {
    this.self = self
    this.#mesh = mesh
  }

  async open(peer: NodeId, protocol: string): Promise<ByteStream> {
    await Promise.resolve()
    const found = peer === this.self ? this : this.#mesh.reach(this.self, peer)
    const remote = this.#isGone ? undefined : found
    const handler = remote?.handler(protocol)
    if (remote === undefined || handler === undefined) {
      throw new ShoalError({ code: 'UNREACHABLE', peer }, `${peer} cannot be reached`)
    }
    const near = new MemoryStream(peer)
    const far = new MemoryStream(this.self)
    near.connect(far)
    far.connect(near)
    this.#keep(near)
    remote.#keep(far)
    handler(far)
    return near
  }

  handle(protocol: string, handler: (stream: ByteStream) => void): void {
    this.#handlers.set(protocol, handler)
  }

  handler(protocol: string): ((stream: ByteStream) => void) | undefined {
    return this.#handlers.get(protocol)
  }

  async publish(topic: string, bytes: Uint8Array): Promise<void> {
    if (this.#isGone) return
    const copy = bytes.slice()
    for (const other of this.#mesh.others(this.self)) {
      setImmediate(() => other.deliver(topic, this.self, copy))
    }
  }

  deliver(topic: string, from: NodeId, bytes: Uint8Array): void {
    for (const listener of this.#topics.get(topic) ?? []) listener(from, bytes)
  }

  subscribe(topic: string, listener: (from: NodeId, bytes: Uint8Array) => void): () => void {
    this.#topics.set(topic, [...(this.#topics.get(topic) ?? []), listener])
    return () => {
      const left = (this.#topics.get(topic) ?? []).filter(other => other !== listener)
      this.#topics.set(topic, left)
    }
  }

  peers(): NodeId[] {
    return this.#mesh.others(this.self).map(member => member.self)
  }

  onPeer(listener: (peer: NodeId, connected: boolean) => void): void {
    this.#peerListeners.push(listener)
  }

  notify(peer: NodeId, connected: boolean): void {
    for (const listener of this.#peerListeners) listener(peer, connected)
  }

  roundTripMs(peer: NodeId): number | undefined {
    return this.#mesh.reach(this.self, peer) === undefined ? undefined : 1
  }

  /** The process is dead: nothing of it reaches anybody any more. */
  end(): void {
    this.#isGone = true
    this.breakStreams()
  }

  breakStreams(peer?: NodeId): void {
    for (const stream of [...this.#streams]) {
      if (peer === undefined || stream.peer === peer) stream.abort(new Error('connection lost'))
    }
  }

  #keep(stream: MemoryStream): void {
    this.#streams.add(stream)
    stream.onceClosed(() => this.#streams.delete(stream))
  }
}

class MemoryStream implements ByteStream {
  readonly peer: NodeId
  #remote: MemoryStream | undefined
  #inbox: Uint8Array[] = []
  #inboxBytes = 0
  #paused = false
  #scheduled = false
  #endedLocal = false
  #endedRemote = false
  #endDelivered = false
  #closed = false
  #error: Error | undefined
  #bytesListener: ((bytes: Uint8Array) => void) | undefined
  #endListener: (() => void) | undefined
  #closeListener: ((error?: Error) => void) | undefined
  readonly #closers: Array<() => void> = []
  #waiters: Array<{ resolve: () => void; reject: (error: Error) => void }> = []

  constructor(peer: NodeId) {
    this.peer = peer
  }

  connect(remote: MemoryStream): void {
    this.#remote = remote
  }

  onceClosed(closer: () => void): void {
    this.#closers.push(closer)
  }

  write(bytes: Uint8Array): boolean {
    const remote = this.#remote
    if (this.#closed || this.#endedLocal || remote === undefined) return true
    remote.#inbox.push(bytes)
    remote.#inboxBytes += bytes.length
    remote.#schedule()
    return remote.#inboxBytes < HIGH_MARK_BYTES
  }

  drained(): Promise<void> {
    if (this.#closed) return Promise.reject(this.#error ?? new Error('stream closed'))
    if (this.#remote === undefined || this.#remote.#inboxBytes < HIGH_MARK_BYTES)
      return Promise.resolve()
    return new Promise((resolve, reject) => this.#waiters.push({ resolve, reject }))
  }

  onBytes(listener: (bytes: Uint8Array) => void): void {
    this.#bytesListener = listener
    this.#schedule()
  }

  onEnd(listener: () => void): void {
    this.#endListener = listener
  }

  onClose(listener: (error?: Error) => void): void {
    this.#closeListener = listener
  }

  pause(): void {
    this.#paused = true
  }

  resume(): void {
    this.#paused = false
    this.#schedule()
  }

  async end(): Promise<void> {
    if (this.#closed || this.#endedLocal) return
    this.#endedLocal = true
    if (this.#remote !== undefined) {
      this.#remote.#endedRemote = true
      this.#remote.#schedule()
    }
    this.#maybeClose()
  }

  abort(reason: Error): void {
    this.#close(reason)
    if (this.#remote !== undefined) this.#remote.#close(new Error('stream reset'))
  }

  #schedule(): void {
    if (this.#scheduled) return
    this.#scheduled = true
    setImmediate(() => {
      this.#scheduled = false
      this.#deliver()
    })
  }

  #deliver(): void {
    while (!this.#paused && !this.#closed && this.#bytesListener !== undefined) {
      const bytes = this.#inbox.shift()
      if (bytes === undefined) break
      this.#inboxBytes -= bytes.length
      this.#bytesListener(bytes)
    }
    if (this.#remote !== undefined && this.#inboxBytes < HIGH_MARK_BYTES / 2) this.#remote.#wake()
    const isOver = this.#endedRemote && this.#inbox.length === 0 && !this.#closed
    if (isOver && !this.#endDelivered) {
      this.#endDelivered = true
      this.#endListener?.()
      this.#maybeClose()
    }
  }

  #wake(): void {
    const waiters = this.#waiters
    this.#waiters = []
    for (const waiter of waiters) waiter.resolve()
  }

  #maybeClose(): void {
    if (this.#endedLocal && this.#endDelivered) this.#close(undefined)
  }

  #close(error: Error | undefined): void {
    if (this.#closed) return
    this.#closed = true
    this.#error = error
    this.#inbox = []
    for (const waiter of this.#waiters) waiter.reject(error ?? new Error('stream closed'))
    this.#waiters = []
    for (const closer of this.#closers) closer()
    setImmediate(() => this.#closeListener?.(error))
  }
}

function linkName(a: NodeId, b: NodeId): string {
  return a < b ? `${a} ${b}` : `${b} ${a}`
}
