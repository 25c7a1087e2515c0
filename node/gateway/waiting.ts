/**
 * Requests of one link that are not in flight: queued until they may be sent, paused because the
 * node was busy or had lost the chunk, or set aside because nothing of their chunk may be sent.
 *
 * Invariant: a request is in one of the three places, once.
 */
import type { ChunkKey } from '../../protocols/ids.ts'
import type { Clock } from '../ports.ts'
import type { InFlight } from './in-flight.ts'
import { chunkNumber } from './layout.ts'
import { Paused } from './paused.ts'
import { Queue } from './queue.ts'
import type { LinkRequest } from './request.ts'

export class Waiting {
  readonly unsent = new Queue<LinkRequest>()
  readonly paused: Paused
  /** By the number of the chunk. */
  readonly #parked = new Map<number, LinkRequest[]>()

  constructor(clock: Clock) {
    this.paused = new Paused(clock)
  }

  get size(): number {
    let parked = 0
    for (const requests of this.#parked.values()) parked += requests.length
    return this.unsent.length + this.paused.size + parked
  }

  some(test: (request: LinkRequest) => boolean): boolean {
    if (this.unsent.some(test) || this.paused.some(test)) return true
    return [...this.#parked.values()].some(requests => requests.some(test))
  }

  /** True if the request was set aside with its chunk. */
  setAside(request: LinkRequest): boolean {
    if (this.#parked.size === 0) return false
    const parked = this.#parked.get(chunkNumber(request.chunk.extent, request.chunk.column))
    if (parked === undefined || request.lengthBytes === 0) return false
    parked.push(request)
    return true
  }

  /** From now on requests of the chunk are set aside, those in flight included. */
  park({ extent, column }: ChunkKey, inFlight: InFlight): void {
    const number = chunkNumber(extent, column)
    if (this.#parked.has(number)) return
    const isOfIt = ofChunk(number)
    const parked = [...inFlight.extract(isOfIt), ...this.extract(isOfIt)]
    for (const request of parked) request.sentSession = 0
    this.#parked.set(number, parked)
  }

  /** Removes and returns all of one chunk; nothing of it is set aside any more. */
  takeOf({ extent, column }: ChunkKey): LinkRequest[] {
    const number = chunkNumber(extent, column)
    const taken = this.extract(ofChunk(number))
    this.#parked.delete(number)
    return taken
  }

  /** The same for all chunks. */
  takeAll(): LinkRequest[] {
    const taken = this.extract(isOfSomeChunk)
    this.#parked.clear()
    return taken
  }

  /** Removes and returns what the test chooses. */
  extract(test: (request: LinkRequest) => boolean): LinkRequest[] {
    const taken = [...this.unsent.extract(test), ...this.paused.extract(test)]
    for (const [chunk, requests] of this.#parked) {
      const kept: LinkRequest[] = []
      for (const request of requests) {
        if (test(request)) taken.push(request)
        else kept.push(request)
      }
      this.#parked.set(chunk, kept)
    }
    return taken
  }
}

/** Hellos, pings and replays belong to their connection; everything else outlives it. */
export function isKept(request: LinkRequest): boolean {
  return request.isOfConnection !== true
}

/** Requests of chunks: neither the link's own nor those of the whole shard. */
export function isOfSomeChunk(request: LinkRequest): boolean {
  return isKept(request) && request.lengthBytes > 0
}

function ofChunk(number: number): (request: LinkRequest) => boolean {
  return request =>
    isOfSomeChunk(request) && chunkNumber(request.chunk.extent, request.chunk.column) === number
}
