// Goal: a call either gives a checked answer or a fault that says what went wrong; no message and
// no handler of one call harms another.
// Method: two members on a memory mesh; good calls, and bytes that no honest caller would send.
import { describe, expect, it } from 'vitest'
import { z } from 'zod'
import { systemClock } from '../../node/clock.ts'
import { MAX_RPC_INBOUND_PER_PEER } from '../../node/limits.ts'
import type { ByteStream } from '../../node/ports.ts'
import { createRpc } from '../../node/rpc/rpc.ts'
import { encodeCbor } from '../../protocols/cbor.ts'
import type { FaultCode } from '../../protocols/fault.ts'
import { isFault } from '../../protocols/fault.ts'
import type { NodeId } from '../../protocols/ids.ts'
import { MAX_CONTROL_MESSAGE_BYTES } from '../../protocols/limits.ts'
import { silentLog, until } from '../support/host-mesh.ts'
import { MemoryMesh } from '../support/memory-network.ts'

const A = 'a' as NodeId
const B = 'b' as NodeId
const PROTOCOL = '/test/double/1'
const question = z.strictObject({ n: z.number(), note: z.union([z.string(), z.undefined()]) })
const reply = z.strictObject({ n: z.number() })

function pair() {
  const mesh = new MemoryMesh()
  const [near, far] = [mesh.join(A), mesh.join(B)]
  const a = createRpc({ network: near, clock: systemClock, log: silentLog })
  const b = createRpc({ network: far, clock: systemClock, log: silentLog })
  b.serve(PROTOCOL, question, async (_from, { n }) => {
    if (n < 0) throw new Error('a bug of the handler')
    return { n: 2 * n }
  })
  return { mesh, near, a, b }
}

const double = (rpc: ReturnType<typeof createRpc>, n: number, to = B) =>
  rpc.call(to, PROTOCOL, { n, note: undefined }, reply, { timeoutMs: 2000 })
const withCode = (code: FaultCode) => (error: unknown) => isFault(error, code)

/** Writes `bytes` and ends; resolves when the other side closed, with what it sent. */
function raw(stream: ByteStream, bytes: Uint8Array): Promise<number> {
  return new Promise(resolve => {
    let received = 0
    stream.onBytes(part => {
      received += part.length
    })
    stream.onEnd(() => {})
    stream.onClose(() => resolve(received))
    stream.write(bytes)
    void stream.end()
  })
}

describe('a call', () => {
  it('is answered, by another member and by ourselves alike', async () => {
    const { a, b } = pair()
    expect(await double(a, 21)).toEqual({ n: 42 })
    expect(await double(b, 4)).toEqual({ n: 8 })
    const many = await Promise.all(Array.from({ length: 100 }, (_, n) => double(a, n)))
    expect(many.map(one => one.n)).toEqual(Array.from({ length: 100 }, (_, n) => 2 * n))
  })

  it('ends with CLOSED if the handler fails, and the next one is answered', async () => {
    const { a, b } = pair()
    await expect(double(a, -1)).rejects.toSatisfy(withCode('CLOSED'))
    await expect(double(b, -1)).rejects.toSatisfy(withCode('CLOSED'))
    expect(await double(a, 1)).toEqual({ n: 2 })
  })

  it('names an answer that does not fit BAD_MESSAGE, and silence TIMEOUT', async () => {
    const { a, b } = pair()
    b.serve('/test/odd/1', question, async () => ({ text: 'no number' }))
    b.serve('/test/never/1', question, () => new Promise<never>(() => {}))
    const request = { n: 1, note: 'x' }
    const odd = a.call(B, '/test/odd/1', request, reply)
    await expect(odd).rejects.toSatisfy(withCode('BAD_MESSAGE'))
    for (const rpc of [a, b]) {
      const never = rpc.call(B, '/test/never/1', request, reply, { timeoutMs: 50 })
      await expect(never).rejects.toSatisfy(withCode('TIMEOUT'))
    }
    await expect(double(a, 1, 'c' as NodeId)).rejects.toSatisfy(withCode('UNREACHABLE'))
  })

  it('too long to send is refused at home', async () => {
    const { a } = pair()
    const request = { n: 1, note: 'x'.repeat(MAX_CONTROL_MESSAGE_BYTES) }
    await expect(a.call(B, PROTOCOL, request, reply)).rejects.toSatisfy(withCode('LIMIT'))
  })
})

describe('bytes that are no request', () => {
  const framed = (bytes: Uint8Array) => Buffer.concat([Buffer.from([bytes.length]), bytes])
  const cases: Array<[string, Uint8Array]> = [
    ['nothing', new Uint8Array()],
    ['a length without its message', Buffer.from([100, 1, 2])],
    ['a length beyond the bound', Buffer.from([0xff, 0xff, 0xff, 0xff, 0x0f])],
    ['an endless length', new Uint8Array(64).fill(0xff)],
    ['no CBOR', framed(Buffer.from('ffffff', 'hex'))],
    ['another shape', framed(encodeCbor({ n: 'text', note: undefined }))],
    ['an unknown field', framed(encodeCbor({ n: 1, note: undefined, more: 1 }))],
    ['a prototype', framed(Buffer.from('a1695f5f70726f746f5f5fa0', 'hex'))],
    ['two requests', Buffer.concat([1, 2].map(n => framed(encodeCbor({ n, note: undefined }))))]
  ]
  for (const [what, bytes] of cases) {
    it(`(${what}) are refused and counted, and the next call is answered`, async () => {
      const { near, a, b } = pair()
      const received = await raw(await near.open(B, PROTOCOL), bytes)
      expect(received).toBe(0)
      expect(b.refused).toBe(1)
      expect(await double(a, 3)).toEqual({ n: 6 })
    })
  }

  it('(a caller that opens and says nothing) take no more than their bound', async () => {
    const { near, a, b } = pair()
    const open = Array.from({ length: MAX_RPC_INBOUND_PER_PEER + 5 }, () => near.open(B, PROTOCOL))
    const streams = await Promise.all(open)
    let closed = 0
    for (const stream of streams) stream.onClose(() => closed++)
    await until(() => closed === 5)
    expect(b.refused).toBe(5)
    for (const stream of streams) stream.abort(new Error('enough'))
    await until(() => closed === streams.length)
    expect(await double(a, 3)).toEqual({ n: 6 })
  })
})
