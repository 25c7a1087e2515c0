/**
 * Sends spoiled bytes to a server over real sockets, many at a time, and waits until the server
 * has dealt with each: it must close a connection whose client has ended in the middle.
 */
import { createConnection } from 'node:net'
import type { SeededRandom } from './process-random.ts'

const PARALLEL = 16
/** A server that leaves an ended connection open longer than this has a leak. */
const CLOSE_MS = 10_000

/** `undelivered`: the server took no connection or stream (its bounds, or it had hung up on us). */
export type Hit = 'ended' | 'hanging' | 'undelivered'

export interface FuzzResult {
  readonly delivered: number
  /** Connections or streams that the server never ended. */
  readonly hanging: number
}

/** A server may turn some away; one that turns away this many for each is not reachable. */
const MAX_TRIES_PER_HIT = 4

/** Delivers `count` spoiled messages, `parallel` at once. */
export async function volley(
  count: number,
  shoot: () => Promise<Hit>,
  parallel = PARALLEL
): Promise<FuzzResult> {
  let tries = 0
  let begun = 0
  let delivered = 0
  let hanging = 0
  const gun = async (): Promise<void> => {
    while (begun < count && tries < count * MAX_TRIES_PER_HIT) {
      tries++
      begun++
      const hit = await shoot()
      if (hit === 'undelivered') begun--
      else delivered++
      if (hit === 'hanging') hanging++
    }
  }
  await Promise.all(Array.from({ length: parallel }, gun))
  return { delivered, hanging }
}

/** One connection: all bytes (cut somewhere, to vary the packets), then our end. */
export function shootSocket(
  target: { path: string } | { host: string; port: number },
  bytes: Buffer,
  random: SeededRandom
): Promise<Hit> {
  return new Promise(resolve => {
    const socket = createConnection({ ...target, allowHalfOpen: true })
    let delivered = false
    const timer = setTimeout(() => {
      socket.destroy()
      resolve('hanging')
    }, CLOSE_MS)
    const done = (): void => {
      clearTimeout(timer)
      resolve(delivered ? 'ended' : 'undelivered')
    }
    const cut = random.below(bytes.length + 1)
    socket.on('error', () => {})
    socket.on('close', done)
    socket.on('data', () => {})
    // The server's end is ours too; `close` follows.
    socket.on('end', () => socket.end())
    socket.on('connect', () => {
      delivered = true
      socket.write(bytes.subarray(0, cut))
      setImmediate(() => socket.end(bytes.subarray(cut)))
    })
  })
}
