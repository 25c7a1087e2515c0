/**
 * The ports: everything outside the process that the mesh code needs. Production wires the real
 * ones (clock.ts, storage/real-disk.ts, host/); tests and the simulator wire their own. Nothing in
 * node/ calls Date.now, setTimeout, Math.random, node:fs or libp2p except behind one of these.
 */
import type { NodeId } from '../protocols/ids.ts'

export interface Timer {
  cancel: () => void
}

export interface Clock {
  /** Wall clock, milliseconds since 1970. May jump; only for dates and certificates. */
  now: () => number
  /** Monotonic milliseconds; for every duration and deadline. */
  monotonicMs: () => number
  /** Runs `task` once after `delayMs`. Does not keep the process alive. */
  after: (delayMs: number, task: () => void) => Timer
  /** Runs `task` after the work of the present tick (setImmediate): where batches leave. */
  soon: (task: () => void) => void
  /** Of a clock that runs faster than time (scaled-clock.ts); absent: it does not. */
  readonly scale?: ClockScale
}

/** How a clock differs from the time: all that another process needs to show the same. */
export interface ClockScale {
  /** Of its milliseconds, how many pass in one of time; 1 or more. */
  readonly rate: number
  /** At this instant, in wall ms ... */
  readonly fromMs: number
  /** ... it showed this. */
  readonly startMs: number
}

export interface Random {
  /** `length` random bytes, fit for keys. */
  bytes: (length: number) => Uint8Array
  /** In [0, 1): jitter and back-off. */
  fraction: () => number
}

/**
 * A bidirectional byte stream with true backpressure both ways, already tied to a proven peer.
 * Writes of one tick leave as one buffer. One listener of each kind, set in the tick in which the
 * stream is received; bytes that arrive before are held.
 */
export interface ByteStream {
  readonly peer: NodeId
  /** Queues `bytes`, by reference: never reuse them. False: wait for `drained` before more. */
  write: (bytes: Uint8Array) => boolean
  /** Resolves when the queue is below its low mark; rejects if the stream closes first. */
  drained: () => Promise<void>
  onBytes: (listener: (bytes: Uint8Array) => void) => void
  /** The remote ended its side (no more bytes); ours may still write. */
  onEnd: (listener: () => void) => void
  /** Once, whatever the reason; `error` is absent after a clean close by both sides. */
  onClose: (listener: (error?: Error) => void) => void
  /** Stops and restarts delivery; a paused reader makes the remote's writes wait. */
  pause: () => void
  resume: () => void
  /** Sends what is queued, then ends our side. */
  end: () => Promise<void>
  /** Closes at once in both directions. */
  abort: (reason: Error) => void
}

/** The mesh as one member sees it: only members are ever visible here. */
export interface Network {
  readonly self: NodeId
  /** Opens a stream to a member, dialling if needed. Throws ShoalError UNREACHABLE or TIMEOUT. */
  open: (peer: NodeId, protocol: string, options?: { timeoutMs?: number }) => Promise<ByteStream>
  /** Handles streams that members open to us. */
  handle: (protocol: string, handler: (stream: ByteStream) => void) => void
  publish: (topic: string, bytes: Uint8Array) => Promise<void>
  /** Returns what ends it; the topic may be subscribed to again. */
  subscribe: (topic: string, listener: (from: NodeId, bytes: Uint8Array) => void) => () => void
  /** Connected members. */
  peers: () => NodeId[]
  /** Called on every change of `peers`. */
  onPeer: (listener: (peer: NodeId, connected: boolean) => void) => void
  /** Smoothed measured round trip, or undefined while unknown. */
  roundTripMs: (peer: NodeId) => number | undefined
}

/** One file. Positions and lengths in bytes. Rejects with node's errors (code ENOSPC, EIO ...). */
export interface DiskFile {
  readonly size: () => Promise<number>
  /** Reads up to `target.length` bytes at `position`; the number read is less only at the end. */
  read: (target: Uint8Array, position: number) => Promise<number>
  /** Writes all parts, in order, beginning at `position`. */
  write: (parts: readonly Uint8Array[], position: number) => Promise<void>
  /** fdatasync: all bytes written before the call are durable when it resolves. */
  sync: () => Promise<void>
  truncate: (length: number) => Promise<void>
  /** Gives the range back to the file system; it reads as zeroes and the size stays. */
  punchHole: (position: number, length: number) => Promise<void>
  close: () => Promise<void>
}

/** A directory tree of one node's store; paths are relative, with forward slashes. */
export interface Disk {
  /** Opens for reading and writing; `create` makes it (fails if it exists when 'new'). */
  open: (path: string, create?: 'new' | 'if-absent') => Promise<DiskFile>
  list: (directory: string) => Promise<string[]>
  makeDirectory: (directory: string) => Promise<void>
  /** Atomic; durable only after `syncDirectory` of the target's directory. */
  rename: (from: string, to: string) => Promise<void>
  remove: (path: string) => Promise<void>
  syncDirectory: (directory: string) => Promise<void>
  space: () => Promise<{ totalBytes: number; freeBytes: number }>
}

export interface Log {
  debug: (fields: object, message: string) => void
  info: (fields: object, message: string) => void
  warn: (fields: object, message: string) => void
  error: (fields: object, message: string) => void
}
