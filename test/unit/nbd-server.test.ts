// Goal: a client gets from our NBD server exactly what the specification and the device promise.
// Method: our own client, with structured and with simple replies, against a device in memory.
import { link, stat, writeFile } from 'node:fs/promises'
import { connect, createServer } from 'node:net'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { systemClock } from '../../node/clock.ts'
import { nbdErrorOf } from '../../node/nbd/errors.ts'
import { createNbdServer } from '../../node/nbd/server.ts'
import { type Fault, ShoalError } from '../../protocols/fault.ts'
import { KiB, MiB } from '../../protocols/limits.ts'
import { startNbd, until } from '../support/nbd-harness.ts'
import { MemoryDevice } from '../support/nbd-memory-device.ts'

const quiet = () => undefined
const log = { debug: quiet, info: quiet, warn: quiet, error: quiet }

describe.each([
  { replies: 'structured', structured: true },
  { replies: 'simple', structured: false }
])('with $replies replies', ({ structured }) => {
  it('reads back what was written, whatever the size and place', async () => {
    await using nbd = await startNbd()
    const client = await nbd.client({ structured })
    const lengths = [1, 511, 4 * KiB, 4 * KiB + 1, 31 * KiB, 32 * KiB, 300 * KiB, MiB, 3 * MiB]
    let at = 1
    const written = lengths.map((length, i) => {
      const piece = { at, data: Buffer.alloc(length, i + 1) }
      at += length
      return piece
    })
    await Promise.all(written.map(({ at, data }) => client.write(at, data)))
    const read = await Promise.all(written.map(({ at, data }) => client.read(at, data.length)))
    for (const [i, { data }] of written.entries()) expect(read[i]?.equals(data)).toBe(true)
    expect(await client.read(0, 1)).toEqual(Buffer.alloc(1))
  })

  it('answers every error with its number and goes on', async () => {
    await using nbd = await startNbd()
    const client = await nbd.client({ structured })
    const end = client.sizeBytes
    const refusals = {
      'read past the end': [client.read(end - 1, 2), 'EINVAL'],
      'write past the end': [client.write(end - 1, Buffer.alloc(2)), 'ENOSPC'],
      'zeroes past the end': [client.writeZeroes(end, 1), 'ENOSPC'],
      'trim past the end': [client.trim(end - 1, 2), 'EINVAL'],
      'read of the last offset': [client.read(2 ** 53 - 1, 1), 'EINVAL'],
      'read above the maximum': [client.read(0, 33 * MiB), 'EINVAL'],
      'zeroes that are not fast': [
        client.writeZeroes(0, 4096, { fastZero: true, noHole: true }),
        'ENOTSUP'
      ]
    } as const
    for (const [what, [answer, error]] of Object.entries(refusals)) {
      await expect(answer, what).rejects.toMatchObject({ fault: { code: 'NBD_ERROR', error } })
    }
    await client.write(0, Buffer.from('still here'))
    expect((await client.read(0, 10)).toString()).toBe('still here')
  })

  it('maps what the device rejects with to one NBD error', async () => {
    await using nbd = await startNbd()
    const client = await nbd.client({ structured })
    const faults: Array<[Fault, string]> = [
      [{ code: 'NO_SPACE' }, 'ENOSPC'],
      [{ code: 'FENCED', by: 'another host' }, 'ESHUTDOWN'],
      [{ code: 'STALE_TOKEN' }, 'ESHUTDOWN'],
      [{ code: 'BAD_CHECKSUM' }, 'EIO'],
      [{ code: 'NO_CHUNK' }, 'EIO'],
      [{ code: 'TIMEOUT', afterMs: 1 }, 'EIO']
    ]
    for (const [fault, error] of faults) {
      nbd.device.failWith = new ShoalError(fault, 'as the test wants it')
      const calls = [client.read(0, 8), client.write(0, Buffer.alloc(8)), client.flush()]
      for (const call of calls) {
        await expect(call).rejects.toMatchObject({ fault: { code: 'NBD_ERROR', error } })
      }
    }
    expect(nbdErrorOf(new TypeError('our bug'))).toBe(5)
  })

  it('trims, zeroes, flushes and writes through', async () => {
    await using nbd = await startNbd()
    const client = await nbd.client({ structured })
    await client.write(0, Buffer.alloc(64 * KiB, 1), { fua: true })
    await client.trim(0, 16 * KiB)
    await client.writeZeroes(16 * KiB, 16 * KiB, { noHole: true })
    await client.writeZeroes(32 * KiB, 100, { fastZero: true, fua: true })
    await client.cache(0, 64 * KiB)
    await client.flush()
    const data = await client.read(0, 64 * KiB)
    expect(data.subarray(0, 32 * KiB + 100).every(byte => byte === 0)).toBe(true)
    expect(data.subarray(32 * KiB + 100).every(byte => byte === 1)).toBe(true)
    expect(nbd.device).toMatchObject({ flushes: 1, fuas: 2 })
  })
})

it('tells what is allocated, one extent or all', async () => {
  await using nbd = await startNbd()
  const client = await nbd.client()
  await client.write(8 * KiB, Buffer.alloc(8 * KiB, 1))
  expect(await client.blockStatus(0, 1 * MiB)).toEqual([
    { lengthBytes: 8 * KiB, hole: true },
    { lengthBytes: 8 * KiB, hole: false },
    { lengthBytes: MiB - 16 * KiB, hole: true }
  ])
  expect(await client.blockStatus(8 * KiB, MiB, { one: true })).toEqual([
    { lengthBytes: 8 * KiB, hole: false }
  ])
})

it('lists its exports, and refuses what it does not export', async () => {
  await using nbd = await startNbd()
  nbd.server.addExport('other', new MemoryDevice(4096))
  const client = await nbd.client()
  expect(await client.list()).toEqual([
    { name: 'disk', description: 'a disk in memory' },
    { name: 'other', description: '' }
  ])
  const found = { fault: { code: 'NOT_FOUND' } }
  await expect(nbd.client({ exportName: 'nothing' })).rejects.toMatchObject(found)
  await expect(nbd.client({ exportName: '' })).rejects.toMatchObject(found)
  expect(() => nbd.server.addExport('disk', nbd.device)).toThrow(/exported already/)
})

it('refuses changes of a read-only export and takes in their payload', async () => {
  await using nbd = await startNbd()
  nbd.server.addExport('fixed', nbd.device, { readOnly: true })
  const client = await nbd.client({ exportName: 'fixed' })
  expect(client.readOnly).toBe(true)
  const refused = { fault: { code: 'NBD_ERROR', error: 'EPERM' } }
  await expect(client.write(0, Buffer.alloc(2 * MiB, 1))).rejects.toMatchObject(refused)
  await expect(client.trim(0, 4096)).rejects.toMatchObject(refused)
  await expect(client.writeZeroes(0, 4096)).rejects.toMatchObject(refused)
  expect(await client.read(0, 2)).toEqual(Buffer.alloc(2))
})

it('shows a grown device to new connections', async () => {
  await using nbd = await startNbd()
  const before = await nbd.client()
  nbd.device.grow(16 * MiB)
  const after = await nbd.client()
  expect([before.sizeBytes, after.sizeBytes]).toEqual([8 * MiB, 16 * MiB])
  await after.write(15 * MiB, Buffer.from('new room'))
  expect((await before.read(15 * MiB, 8)).toString()).toBe('new room')
})

it('answers what is in flight before it follows a goodbye', async () => {
  await using nbd = await startNbd()
  const client = await nbd.client()
  let open = () => {}
  nbd.device.gate = new Promise(resolve => {
    open = resolve
  })
  const writes = [client.write(0, Buffer.from('a')), client.write(1, Buffer.from('b'))]
  await until(() => nbd.device.inFlight === 2, 'both writes are with the device')
  const closed = client.close()
  open()
  await Promise.all([...writes, closed])
  await until(() => nbd.server.connections().length === 0, 'the connection is gone')
})

it('removes an export only when the device works on none of its requests', async () => {
  await using nbd = await startNbd()
  nbd.server.addExport('other', new MemoryDevice(MiB))
  const bystander = await nbd.client({ exportName: 'other' })
  const client = await nbd.client()
  let open = () => {}
  nbd.device.gate = new Promise(resolve => {
    open = resolve
  })
  const lost = expect(client.write(0, Buffer.from('a'))).rejects.toThrow(/closed/)
  await until(() => nbd.device.inFlight === 1, 'the write is with the device')
  let removed = false
  const removal = nbd.server.removeExport('disk').then(() => {
    removed = true
  })
  await lost
  expect(removed).toBe(false)
  open()
  await removal
  expect(nbd.device.inFlight).toBe(0)
  await bystander.write(0, Buffer.from('b'))
})

it('replaces a socket that nobody listens on, and no other file', async () => {
  await using nbd = await startNbd()
  const again = createNbdServer({ clock: systemClock, log })
  await expect(again.listenUnix(nbd.socketPath)).rejects.toMatchObject({
    fault: { code: 'PORT_TAKEN' }
  })
  const file = join(nbd.directory, 'file')
  await writeFile(file, 'precious')
  await expect(again.listenUnix(file)).rejects.toThrow(/no socket/)
  await expect(again.listenUnix(`/tmp/${'x'.repeat(120)}`)).rejects.toThrow(/too long/)
  const stale = join(nbd.directory, 'stale')
  await leaveStaleSocket(stale)
  await again.listenUnix(stale, { mode: 0o660 })
  expect((await stat(stale)).mode & 0o777).toBe(0o660)
  expect((await stat(nbd.socketPath)).mode & 0o777).toBe(0o600)
  await again.close()
})

it('is not to be reached from other hosts without TLS', async () => {
  const server = createNbdServer({ clock: systemClock, log })
  for (const host of ['0.0.0.0', '::', '192.0.2.1', 'example.org']) {
    await expect(server.listenTcp({ host, port: 0 })).rejects.toThrow(/certificate/)
  }
  const { port } = await server.listenTcp({ host: '127.0.0.1', port: 0 })
  await expect(server.listenTcp({ host: '127.0.0.1', port })).rejects.toMatchObject({
    fault: { code: 'PORT_TAKEN' }
  })
  await server.close()
})

/** What a killed process leaves behind: a socket file without a listener. */
async function leaveStaleSocket(path: string): Promise<void> {
  const hidden = `${path}.bound`
  const server = createServer()
  await new Promise<void>(resolve => server.listen(hidden, resolve))
  await link(hidden, path)
  await new Promise(resolve => server.close(resolve))
  await new Promise<void>(resolve => {
    connect(path).once('error', () => resolve())
  })
}
