/**
 * One request is applied: admission, run, range and checksums are checked and the store is called
 * in one synchronous step, so nothing can be granted to somebody else in between. The answer leaves
 * when the store has settled.
 *
 * Invariants: what reaches the store lies inside a run held at exactly the request's epoch; data
 * reaches it only with matching checksums; a change of a tracked chunk marks its blocks before the
 * store gets it, and none of a frozen chunk gets there; each request that begins settles once, and is answered
 * once or, if its stream was closed, not at all.
 */
import { assert } from '../../protocols/assert.ts'
import { firstBadBlock } from '../../protocols/checksum.ts'
import { messageOf } from '../../protocols/fault.ts'
import { compareEpochs } from '../../protocols/ids.ts'
import { BLOCK_BYTES } from '../../protocols/limits.ts'
import { findReceiving, findReleased, findRun } from '../../protocols/shard-control/runs.ts'
import type { Answer, Request } from '../../protocols/shard-io/messages.ts'
import { Flag, Op, Status } from '../../protocols/shard-io/messages.ts'
import { columnBytes } from '../../protocols/stripe/map.ts'
import { FROZEN_RETRY_MS } from '../limits.ts'
import type { Clock, Log } from '../ports.ts'
import type { ChunkStore, ReadResult, ShardRecord } from '../storage/types.ts'
import {
  busyAnswer,
  faultAnswer,
  mapAnswer,
  movedAnswer,
  plainAnswer,
  readAnswer,
  staleAnswer
} from './answers.ts'
import type { ClientLoadMeter } from './client-load.ts'
import type { Connection } from './connection.ts'
import { bytesOf } from './connection.ts'
import { isMetered } from './meter.ts'
import type { Scheduler } from './scheduler.ts'
import type { ShardVolume } from './volume.ts'

export interface ApplierOptions {
  readonly store: ChunkStore
  readonly clock: Clock
  readonly log: Log
  readonly load: ClientLoadMeter
  readonly scheduler: () => Scheduler
  /** The connection broke a rule that only a faulty peer breaks. */
  readonly violation: (connection: Connection, what: string) => void
  /** A bug surfaced while the connection was answered. */
  readonly failed: (connection: Connection, error: unknown) => void
}

const REPORT_INTERVAL_MS = 1000

/** What a store call resolves with. */
type Outcome = ReadResult | Uint32Array | undefined

export class Applier {
  readonly #options: ApplierOptions

  constructor(options: ApplierOptions) {
    this.#options = options
  }

  /**
   * Until `heldUntilMs` it waited for the limit on this node's load: not the store's doing, nor that
   * of any copying, and so not told to the pace of copying. What is measured of shards has it.
   */
  apply(connection: Connection, request: Request, arrivedAtMs: number, heldUntilMs: number): void {
    const { volume } = connection
    assert(volume !== undefined, 'an open connection has a volume')
    const era = volume.begins(connection.number)
    if (era === undefined) {
      connection.answer(staleAnswer(request, volume.greatest.counter))
      return
    }
    const scheduler = this.#options.scheduler()
    const bytes = bytesOf(request)
    scheduler.began(bytes)
    const settle = (answer: Answer | undefined): void => {
      scheduler.settled(bytes)
      try {
        volume.settled(connection.number, era)
        if (answer !== undefined) connection.answer(answer)
      } catch (error) {
        this.#options.failed(connection, error)
      }
      scheduler.pump()
    }
    let started: Promise<Outcome> | Answer
    try {
      started = this.#start(connection, volume, request, arrivedAtMs)
    } catch (error) {
      settle(this.#fail(volume, request, error))
      return
    }
    if (started instanceof Promise) {
      // Neither throws: this promise has nobody behind it.
      started.then(
        outcome => {
          this.#measure(volume, request, arrivedAtMs, heldUntilMs)
          settle(this.#succeed(volume, request, outcome))
        },
        (error: unknown) => {
          this.#measure(volume, request, arrivedAtMs, heldUntilMs)
          settle(this.#fail(volume, request, error))
        }
      )
    } else settle(started)
  }

  /** The store's promise, or the answer of a request that must not or need not reach it. */
  #start(
    connection: Connection,
    volume: ShardVolume,
    request: Request,
    arrivedAtMs: number
  ): Promise<Outcome> | Answer {
    const { record } = volume
    if (record === undefined) return plainAnswer(request, Status.noChunk)
    const { op, chunk, offsetBytes, lengthBytes } = request
    if (op === Op.flush) return this.#options.store.flush() as Promise<undefined>
    // A read of nothing is the holder's sign of life.
    if (op === Op.read && lengthBytes === 0) return plainAnswer(request, Status.ok)
    const run = findRun(volume.index, chunk)
    if (run === undefined) return notHeld(request, record)
    if (compareEpochs(run.epoch, request.epoch) !== 0) return plainAnswer(request, Status.noChunk)
    if (offsetBytes + lengthBytes > columnBytes(record.spec, chunk.column)) {
      this.#options.violation(connection, 'a range beyond the end of its chunk')
      return plainAnswer(request, Status.ioError)
    }
    if (lengthBytes === 0) return plainAnswer(request, Status.ok)
    if (op === Op.write && firstBadBlock(request.data, request.crcs) !== -1) {
      return plainAnswer(request, Status.badChecksum)
    }
    const watch = volume.watches.find(chunk)
    if (watch !== undefined && isChange(op)) {
      if (watch.frozenBy.size > 0) return busyAnswer(request, FROZEN_RETRY_MS)
      watch.dirty?.mark(offsetBytes / BLOCK_BYTES, lengthBytes / BLOCK_BYTES)
    }
    const { meter } = volume
    if (meter === undefined || !isMetered(op)) return this.#call(request)
    meter.began(request, arrivedAtMs)
    try {
      return this.#call(request)
    } catch (error) {
      meter.answered(arrivedAtMs, arrivedAtMs)
      throw error
    }
  }

  /** The store is done with the request. */
  #measure(volume: ShardVolume, request: Request, arrivedAtMs: number, heldUntilMs: number): void {
    const nowMs = this.#options.load.answered(heldUntilMs, bytesOf(request))
    if (isMetered(request.op)) volume.meter?.answered(arrivedAtMs, nowMs)
  }

  #call(request: Request): Promise<Outcome> {
    const { store } = this.#options
    const { op, chunk, offsetBytes, lengthBytes } = request
    if (op === Op.read) return store.read(chunk, offsetBytes, lengthBytes)
    if (op === Op.map) return store.map(chunk, offsetBytes, lengthBytes)
    const change = this.#change(request) as Promise<undefined>
    // Durable before the answer; the flush covers the change because that resolved before it.
    const isForced = (request.flags & Flag.fua) !== 0
    return isForced ? change.then(() => store.flush() as Promise<undefined>) : change
  }

  #change(request: Request): Promise<void> {
    const { store } = this.#options
    const { op, chunk, offsetBytes, lengthBytes } = request
    if (op === Op.write) return store.write(chunk, offsetBytes, request.data, request.crcs)
    if (op === Op.zero && (request.flags & Flag.allocate) !== 0) {
      return store.zero(chunk, offsetBytes, lengthBytes)
    }
    assert(op === Op.trim || op === Op.zero, 'every other operation has its own call')
    return store.trim(chunk, offsetBytes, lengthBytes)
  }

  #succeed(volume: ShardVolume, request: Request, outcome: Outcome): Answer | undefined {
    try {
      return this.#answerOf(volume, request, outcome)
    } catch (error) {
      return this.#fail(volume, request, error)
    }
  }

  #answerOf(volume: ShardVolume, request: Request, outcome: Outcome): Answer {
    const { counters } = volume
    switch (request.op) {
      case Op.read: {
        assert(outcome !== undefined && 'data' in outcome, 'a read resolves with data')
        assert(outcome.data.length === request.lengthBytes, 'a read resolves with all it asked')
        assert(outcome.crcs.length * BLOCK_BYTES === outcome.data.length, 'one checksum per block')
        counters.readOperations += 1
        counters.readBytes += request.lengthBytes
        return readAnswer(request, outcome)
      }
      case Op.map:
        assert(outcome instanceof Uint32Array, 'a map resolves with runs')
        return mapAnswer(request, outcome)
      case Op.flush:
        counters.flushes += 1
        return plainAnswer(request, Status.ok)
      default:
        counters.writeOperations += 1
        counters.writtenBytes += request.op === Op.write ? request.lengthBytes : 0
        return plainAnswer(request, Status.ok)
    }
  }

  /** A failed store closes the streams: the gateway sends again to its next incarnation. */
  #fail(volume: ShardVolume, request: Request, error: unknown): Answer | undefined {
    if (this.#options.store.failure !== undefined) return undefined
    this.#report(volume, request, error)
    return faultAnswer(request, error)
  }

  /** One line a second and volume, however many requests of it fail. */
  #report(volume: ShardVolume, request: Request, error: unknown): void {
    const nowMs = this.#options.clock.monotonicMs()
    if (nowMs - volume.reportedAtMs < REPORT_INTERVAL_MS) return
    volume.reportedAtMs = nowMs
    const { op, chunk, offsetBytes, lengthBytes } = request
    this.#options.log.warn(
      { op, chunk, offsetBytes, lengthBytes, error: messageOf(error) },
      'a request failed'
    )
  }
}

/** A chunk on its way here is nobody's yet; one that was passed on is where its last handoff says. */
function notHeld(request: Request, record: ShardRecord): Answer {
  const { chunk } = request
  const isComing = findReceiving(record.receiving, chunk) !== undefined
  const released = isComing ? undefined : findReleased(record.released, chunk)
  if (released === undefined) return plainAnswer(request, Status.noChunk)
  return movedAnswer(request, { node: released.to, epoch: released.run.epoch })
}

function isChange(op: Op): boolean {
  return op === Op.write || op === Op.trim || op === Op.zero
}
