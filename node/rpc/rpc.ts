/**
 * Calls between members: one length-prefixed CBOR request and one answer, on a stream of their own.
 *
 *   caller   -- varint length, CBOR request, end -->   served
 *   caller   <- varint length, CBOR answer, end ---    served
 *
 * Invariants: nothing longer than MAX_CONTROL_MESSAGE_BYTES (or the
 * protocol's own bound) is gathered; what does not decode or
 * does not fit its schema is refused by closing the stream, and counted; a handler's exception ends
 * its stream and is logged, and nothing else; a call to ourselves takes the same encoding and
 * schemas as any other, without the network.
 */
import * as lp from 'it-length-prefixed'
import { pipe } from 'it-pipe'
import type { z } from 'zod'
import { decodeCbor, encodeCbor } from '../../protocols/cbor.ts'
import { isFault, messageOf, ShoalError } from '../../protocols/fault.ts'
import type { NodeId } from '../../protocols/ids.ts'
import { MAX_CONTROL_MESSAGE_BYTES } from '../../protocols/limits.ts'
import { MAX_RPC_INBOUND_PER_PEER, RPC_TIMEOUT_MS } from '../limits.ts'
import type { ByteStream, Clock, Log, Network } from '../ports.ts'
import { duplex } from '../stream/duplex.ts'
import type { Rpc, RpcLimits } from './types.ts'

export interface RpcOptions {
  readonly network: Network
  readonly clock: Clock
  readonly log: Log
}

/** Takes an encoded request and gives an encoded answer; throws BAD_MESSAGE for what it refuses. */
type Served = (from: NodeId, request: Uint8Array) => Promise<Uint8Array>

export function createRpc(options: RpcOptions): RpcNode {
  return new RpcNode(options)
}

export class RpcNode implements Rpc {
  readonly #network: Network
  readonly #clock: Clock
  readonly #log: Log
  readonly #served = new Map<string, Served>()
  readonly #inbound = new Map<NodeId, number>()
  #refused = 0

  constructor({ network, clock, log }: RpcOptions) {
    this.#network = network
    this.#clock = clock
    this.#log = log
  }

  /** Requests that were refused: undecodable, out of bounds, or too many at once. */
  get refused(): number {
    return this.#refused
  }

  serve<Q, A>(
    protocol: string,
    schema: z.ZodType<Q>,
    handler: (from: NodeId, request: Q) => Promise<A>,
    limits: RpcLimits = {}
  ): void {
    const framing = framingOf(protocol, limits)
    const served: Served = async (from, bytes) =>
      encodeMessage(framing, await handler(from, decodeMessage(protocol, schema, bytes)))
    this.#served.set(protocol, served)
    this.#network.handle(protocol, stream => void this.#answer(framing, served, stream))
  }

  async call<Q, A>(
    peer: NodeId,
    protocol: string,
    request: Q,
    schema: z.ZodType<A>,
    options: RpcLimits & { timeoutMs?: number } = {}
  ): Promise<A> {
    const timeoutMs = options.timeoutMs ?? RPC_TIMEOUT_MS
    const framing = framingOf(protocol, options)
    const bytes = encodeMessage(framing, request)
    const answer =
      peer === this.#network.self
        ? await this.#local(peer, protocol, bytes, timeoutMs)
        : await this.#remote(peer, framing, bytes, timeoutMs)
    return decodeMessage(protocol, schema, answer)
  }

  async #local(
    peer: NodeId,
    protocol: string,
    request: Uint8Array,
    timeoutMs: number
  ): Promise<Uint8Array> {
    const served = this.#served.get(protocol)
    if (served === undefined) throw unreachable(peer, protocol)
    let timer = { cancel: (): void => {} }
    const late = new Promise<never>((_, reject) => {
      timer = this.#clock.after(timeoutMs, () => reject(timedOut(peer, protocol, timeoutMs)))
    })
    try {
      return await Promise.race([served(peer, request), late])
    } catch (cause) {
      if (isFault(cause, 'TIMEOUT')) throw cause
      this.#reportFailure(peer, protocol, cause)
      throw closed(peer, protocol, cause)
    } finally {
      timer.cancel()
    }
  }

  async #remote(
    peer: NodeId,
    framing: Framing,
    request: Uint8Array,
    timeoutMs: number
  ): Promise<Uint8Array> {
    const { protocol } = framing
    const startMs = this.#clock.monotonicMs()
    const stream = await this.#network.open(peer, protocol, { timeoutMs })
    const leftMs = Math.max(0, timeoutMs - (this.#clock.monotonicMs() - startMs))
    let isLate = false
    const timer = this.#clock.after(leftMs, () => {
      isLate = true
      stream.abort(new Error('no answer in time'))
    })
    try {
      return await exchange(framing, stream, request)
    } catch (cause) {
      stream.abort(new Error('the call failed'))
      if (isLate) throw timedOut(peer, protocol, timeoutMs)
      throw isFault(cause) ? cause : closed(peer, protocol, cause)
    } finally {
      timer.cancel()
    }
  }

  async #answer(framing: Framing, served: Served, stream: ByteStream): Promise<void> {
    const { peer } = stream
    const active = this.#inbound.get(peer) ?? 0
    if (active >= MAX_RPC_INBOUND_PER_PEER) {
      this.#refused++
      stream.abort(new Error('too many calls at once'))
      return
    }
    this.#inbound.set(peer, active + 1)
    // Bounds a caller that does not finish its request or does not take the answer; what happens
    // between the two is the handler's own time.
    const giveUp = (): void => stream.abort(new Error('the caller is too slow'))
    let timer = this.#clock.after(RPC_TIMEOUT_MS, giveUp)
    try {
      await serveOne(framing, stream, async request => {
        timer.cancel()
        const answer = await served(peer, request)
        timer = this.#clock.after(RPC_TIMEOUT_MS, giveUp)
        return answer
      })
    } catch (error) {
      this.#reportFailure(peer, framing.protocol, error)
      stream.abort(new Error('the call failed'))
    } finally {
      timer.cancel()
      this.#release(peer)
    }
  }

  #release(peer: NodeId): void {
    const active = (this.#inbound.get(peer) ?? 1) - 1
    if (active === 0) this.#inbound.delete(peer)
    else this.#inbound.set(peer, active)
  }

  #reportFailure(peer: NodeId, protocol: string, error: unknown): void {
    if (isFault(error, 'BAD_MESSAGE')) this.#refused++
    this.#log.warn({ peer, protocol, error: messageOf(error) }, 'a call could not be answered')
  }
}

/** How it-length-prefixed names bytes that are no frames. */
const FRAMING_ERRORS: ReadonlySet<string> = new Set([
  'InvalidMessageLengthError',
  'InvalidDataLengthError',
  'InvalidDataLengthLengthError',
  'UnexpectedEOFError'
])

/** A protocol and the longest message that it has. */
interface Framing {
  readonly protocol: string
  readonly maxBytes: number
}

function framingOf(protocol: string, limits: RpcLimits): Framing {
  return { protocol, maxBytes: limits.maxBytes ?? MAX_CONTROL_MESSAGE_BYTES }
}

type Chunks = AsyncGenerator<Uint8Array, void, unknown>

/** Sends the request and ends our side, then gives the one answer. */
async function exchange(
  framing: Framing,
  stream: ByteStream,
  request: Uint8Array
): Promise<Uint8Array> {
  const answer = await pipe(
    [request],
    source => lp.encode(source),
    duplex(stream),
    (source: Chunks) => first(framing, source)
  )
  if (answer === undefined) throw new Error('closed without an answer')
  return answer
}

async function serveOne(
  framing: Framing,
  stream: ByteStream,
  serve: (request: Uint8Array) => Promise<Uint8Array>
): Promise<void> {
  const { source, sink } = duplex(stream)
  const request = await first(framing, source)
  if (request === undefined) throw badMessage(framing.protocol, 'no request')
  const answer = await serve(request)
  await pipe([answer], parts => lp.encode(parts), sink)
}

/** The one message of `source`, which must end after it. */
async function first(framing: Framing, source: Chunks): Promise<Uint8Array | undefined> {
  const { protocol, maxBytes } = framing
  let message: Uint8Array | undefined
  try {
    const messages = lp.decode(source, { maxDataLength: maxBytes })
    for await (const bytes of messages) {
      if (message !== undefined) throw badMessage(protocol, 'more than one message')
      message = bytes.subarray()
    }
  } catch (cause) {
    // Everything else is the stream's own end, and says so itself.
    if (!FRAMING_ERRORS.has(cause instanceof Error ? cause.name : '')) throw cause
    throw badMessage(protocol, messageOf(cause), cause)
  }
  return message
}

function encodeMessage({ protocol, maxBytes }: Framing, value: unknown): Uint8Array {
  const bytes = encodeCbor(value)
  if (bytes.length <= maxBytes) return bytes
  throw new ShoalError(
    { code: 'LIMIT', limit: 'MAX_CONTROL_MESSAGE_BYTES' },
    `a message of ${bytes.length} bytes on ${protocol} is too long`
  )
}

function decodeMessage<T>(protocol: string, schema: z.ZodType<T>, bytes: Uint8Array): T {
  const decoded = decodeCbor(bytes)
  if (decoded === undefined) throw badMessage(protocol, 'not CBOR')
  const parsed = schema.safeParse(decoded.value)
  if (!parsed.success) throw badMessage(protocol, parsed.error.message)
  return parsed.data
}

function badMessage(protocol: string, why: string, cause?: unknown): ShoalError {
  const message = `a message on ${protocol} makes no sense: ${why}`
  return new ShoalError({ code: 'BAD_MESSAGE', protocol }, message, { cause })
}

function closed(peer: NodeId, protocol: string, cause: unknown): ShoalError {
  const message = `${peer} ended the call ${protocol} without an answer: ${messageOf(cause)}`
  return new ShoalError({ code: 'CLOSED' }, message, { cause })
}

function timedOut(peer: NodeId, protocol: string, afterMs: number): ShoalError {
  const message = `${peer} did not answer ${protocol} within ${afterMs} ms`
  return new ShoalError({ code: 'TIMEOUT', afterMs }, message)
}

function unreachable(peer: NodeId, protocol: string): ShoalError {
  return new ShoalError({ code: 'UNREACHABLE', peer }, `${peer} does not serve ${protocol}`)
}
