/**
 * What arrives on connections: hellos go to the admission of their volume, other requests into the
 * queue of their connection; what the admission decides is carried out here.
 *
 * Invariants: a connection names one volume, token and session for its whole life; whatever is out
 * of order closes that connection, is counted against its peer, and touches nothing else.
 */
import { assert } from '../../protocols/assert.ts'
import { messageOf } from '../../protocols/fault.ts'
import type { Incarnation, NodeId } from '../../protocols/ids.ts'
import { compareTokens } from '../../protocols/ids.ts'
import { MAX_WAITING_HELLOS } from '../../protocols/limits.ts'
import type { Request } from '../../protocols/shard-io/messages.ts'
import { Op, Status } from '../../protocols/shard-io/messages.ts'
import type { AdmissionEffect } from '../../protocols/shard-io/session.ts'
import {
  MIN_STREAM_QUEUE_BYTES,
  SHARD_QUEUE_BYTES,
  SHARD_VIOLATORS,
  STREAM_QUEUE_BYTES
} from '../limits.ts'
import type { Log } from '../ports.ts'
import { plainAnswer, staleAnswer, welcomeAnswer } from './answers.ts'
import type { ClientLoadMeter } from './client-load.ts'
import type { ConnectionContext, Sink } from './connection.ts'
import { Connection } from './connection.ts'
import type { Scheduler } from './scheduler.ts'
import type { ShardVolume } from './volume.ts'
import type { Volumes } from './volumes.ts'

export interface ReceptionOptions {
  readonly incarnation: Incarnation
  readonly load: ClientLoadMeter
  readonly log: Log
  readonly volumes: Volumes
  readonly scheduler: Scheduler
  /** Why nothing is served at present, or undefined. */
  readonly outOfService: () => string | undefined
}

export class Reception {
  readonly violations = new Map<NodeId, number>()
  readonly #options: ReceptionOptions
  readonly #connections = new Map<number, Connection>()
  readonly #hellos = new Map<Connection, Map<number, Request>>()
  readonly #context: ConnectionContext = {
    queueBytes: () => {
      const share = Math.floor(SHARD_QUEUE_BYTES / Math.max(1, this.#connections.size))
      return Math.min(STREAM_QUEUE_BYTES, Math.max(MIN_STREAM_QUEUE_BYTES, share))
    },
    drained: connection => this.#options.scheduler.offer(connection)
  }
  #nextNumber = 1

  constructor(options: ReceptionOptions) {
    this.#options = options
  }

  get count(): number {
    return this.#connections.size
  }

  all(): Connection[] {
    return [...this.#connections.values()]
  }

  countOf(peer: NodeId): number {
    let count = 0
    for (const connection of this.#connections.values()) if (connection.peer === peer) count += 1
    return count
  }

  connect(peer: NodeId, sink: Sink): Connection {
    const number = this.#nextNumber
    this.#nextNumber += 1
    const connection = new Connection(number, peer, sink, this.#context)
    this.#connections.set(number, connection)
    return connection
  }

  /** Something is about to be received: the requests up to the next call share this time. */
  arrived(connection: Connection): void {
    connection.arrivedAtMs = this.#options.load.arrival()
  }

  /** One request, in the order of arrival. Call `offer` of the scheduler after the last of a batch. */
  receive(connection: Connection, request: Request): void {
    if (connection.at === 'closed') return
    if (request.op === Op.hello) {
      this.#hello(connection, request)
      return
    }
    if (connection.at === 'new' || !isOfConnection(connection, request)) {
      this.violation(connection, 'a request that its hello did not announce')
      return
    }
    if (connection.at === 'stale') this.#answerStale(connection, request)
    else connection.enqueue(request)
  }

  /** Something of the seated stream has arrived: its holder lives. */
  heard(connection: Connection): void {
    const { volume } = connection
    if (volume === undefined || connection.at === 'stale' || connection.at === 'closed') return
    volume.heardAtMs = connection.arrivedAtMs
  }

  violation(connection: Connection, what: string): void {
    const { peer } = connection
    const count = (this.violations.get(peer) ?? 0) + 1
    if (count > 1 || this.violations.size < SHARD_VIOLATORS) this.violations.set(peer, count)
    // The 1st, 2nd, 4th, 8th ...: who sends nothing but rubbish does not fill the log as well.
    if ((count & (count - 1)) === 0) {
      this.#options.log.warn({ peer, count, what }, 'shard-io: closing a faulty stream')
    }
    this.abort(connection, new Error(what))
  }

  /** Runs `work` of this connection; should a bug of ours surface there, it ends only this one. */
  guard(connection: Connection, work: () => void): void {
    try {
      work()
    } catch (error) {
      this.failed(connection, error)
    }
  }

  failed(connection: Connection, error: unknown): void {
    const { peer } = connection
    this.#options.log.error({ peer, error: messageOf(error) }, 'shard-io: closing a stream')
    this.abort(connection, error instanceof Error ? error : new Error(messageOf(error)))
  }

  abort(connection: Connection, reason: Error): void {
    if (connection.at === 'closed') return
    this.closed(connection)
    connection.sink.abort(reason)
  }

  /** The stream is gone, for whatever reason. Idempotent. */
  closed(connection: Connection): void {
    if (connection.at === 'closed') return
    connection.at = 'closed'
    connection.discardQueue()
    this.#connections.delete(connection.number)
    this.#hellos.delete(connection)
    connection.volume?.advance({ type: 'gone', stream: connection.number })
  }

  carryOut(volume: ShardVolume, effect: AdmissionEffect): void {
    if (effect.type !== 'welcome' && effect.type !== 'refuse' && effect.type !== 'retire') return
    const connection = this.#connections.get(effect.stream)
    if (connection === undefined) return
    assert(connection.volume === volume, 'a connection stays with its volume')
    if (effect.type === 'welcome') this.#welcome(connection, effect.requestId)
    else if (effect.why === 'superseded') {
      this.abort(connection, new Error('a newer session of the same token took over'))
    } else if (effect.type === 'retire') this.#turnStale(connection)
    else {
      connection.answer(staleAnswer(this.#takeHello(connection, effect.requestId), counter(volume)))
      this.#turnStale(connection)
    }
  }

  #hello(connection: Connection, request: Request): void {
    const why = this.#options.outOfService()
    if (why !== undefined) {
      connection.answer(plainAnswer(request, Status.ioError))
      return
    }
    if (connection.at === 'new' && !this.#introduce(connection, request)) return
    const { volume } = connection
    assert(volume !== undefined, 'an introduced connection has a volume')
    if (!isOfConnection(connection, request) || request.session !== connection.session) {
      this.violation(connection, 'a second hello that differs from the first')
      return
    }
    const hellos = this.#hellos.get(connection) ?? new Map<number, Request>()
    if (hellos.size >= MAX_WAITING_HELLOS || hellos.has(request.requestId)) {
      this.violation(connection, 'too many hellos, or the same twice')
      return
    }
    this.#hellos.set(connection, hellos.set(request.requestId, request))
    volume.advance({
      type: 'hello',
      stream: connection.number,
      token: request.token,
      session: request.session,
      requestId: request.requestId
    })
  }

  /** The first hello of a connection says whose it is; false if there is no such shard here. */
  #introduce(connection: Connection, request: Request): boolean {
    const volumes = this.#options.volumes
    const { volume: id } = request.chunk
    const volume = volumes.get(id)
    if (volume === undefined) {
      const removedAt = volumes.removedAbove(id, request.token)
      connection.answer(
        removedAt === undefined
          ? plainAnswer(request, Status.noChunk)
          : staleAnswer(request, removedAt.counter)
      )
      return false
    }
    connection.volume = volume
    connection.token = request.token
    connection.session = request.session
    connection.at = 'waiting'
    return true
  }

  #welcome(connection: Connection, requestId: number): void {
    const hello = this.#takeHello(connection, requestId)
    connection.at = 'open'
    connection.answer(welcomeAnswer(hello, this.#options.incarnation))
    this.#options.scheduler.offer(connection)
  }

  /** Whatever had not begun is refused, and so is all that still comes. */
  #turnStale(connection: Connection): void {
    if (connection.at === 'closed') return
    connection.at = 'stale'
    for (const request of connection.discardQueue()) this.#answerStale(connection, request)
  }

  #answerStale(connection: Connection, request: Request): void {
    const { volume } = connection
    assert(volume !== undefined, 'a stale connection had a volume')
    connection.answer(staleAnswer(request, counter(volume)))
  }

  #takeHello(connection: Connection, requestId: number): Request {
    const hello = this.#hellos.get(connection)?.get(requestId)
    assert(hello !== undefined, 'only a hello that waits is answered')
    this.#hellos.get(connection)?.delete(requestId)
    return hello
  }
}

function counter(volume: ShardVolume): number {
  return volume.greatest.counter
}

function isOfConnection(connection: Connection, request: Request): boolean {
  const { token, volume } = connection
  return (
    token !== undefined &&
    volume?.id === request.chunk.volume &&
    compareTokens(token, request.token) === 0
  )
}
