// Goal: over TLS only clients with a certificate of the given authority get anything.
// Method: real TLS on loopback with certificates made for the test; bare sockets that try otherwise.
import { once } from 'node:events'
import { connect } from 'node:net'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { systemClock } from '../../node/clock.ts'
import { connectNbd, listNbdExports } from '../../node/nbd/client.ts'
import { createNbdServer } from '../../node/nbd/server.ts'
import { MiB } from '../../protocols/limits.ts'
import * as nbd from '../../protocols/nbd/constants.ts'
import { encodeClientFlags, encodeOption } from '../../protocols/nbd/handshake.ts'
import { makeAuthority } from '../support/nbd-certificates.ts'
import { MemoryDevice } from '../support/nbd-memory-device.ts'

const quiet = () => undefined
const log = { debug: quiet, info: quiet, warn: quiet, error: quiet }
const authority = makeAuthority('clients and servers')
const server = createNbdServer({ clock: systemClock, log })
const host = '127.0.0.1'
let port = 0

const mine = { ca: authority.cert, ...authority.issue('client'), serverName: 'gateway' }

beforeAll(async () => {
  server.addExport('disk', new MemoryDevice(8 * MiB))
  const tls = { ...authority.issue('gateway'), clientCa: authority.cert }
  port = (await server.listenTcp({ host, port: 0, tls })).port
})

afterAll(() => server.close())

it('serves a client that shows a certificate of the authority', async () => {
  const client = await connectNbd({ host, port, exportName: 'disk', tls: mine })
  const data = Buffer.alloc(3 * MiB, 'shoal')
  await client.write(5, data)
  expect((await client.read(5, data.length)).equals(data)).toBe(true)
  expect(server.connections()).toMatchObject([{ encrypted: true, exportName: 'disk' }])
  expect(await client.list()).toEqual([{ name: 'disk', description: '' }])
  await client.close()
})

it('refuses a client without TLS, with its reason', async () => {
  await expect(connectNbd({ host, port, exportName: 'disk' })).rejects.toThrow(/requires TLS/)
  await expect(listNbdExports({ host, port })).rejects.toThrow(/requires TLS/)
})

it('refuses a client of another authority, or with no certificate', async () => {
  const other = makeAuthority('somebody else')
  const foreign = { ...mine, ...other.issue('client') }
  const attempts = [foreign, { ca: authority.cert, cert: '', key: '', serverName: 'gateway' }]
  for (const tls of attempts) {
    await expect(connectNbd({ host, port, exportName: 'disk', tls })).rejects.toThrow()
  }
})

it('is refused by our client if it is not the server that was meant', async () => {
  const tls = { ...mine, serverName: 'another-gateway' }
  await expect(connectNbd({ host, port, exportName: 'disk', tls })).rejects.toThrow(/altname/i)
})

it('takes no option that was sent in the clear behind STARTTLS', async () => {
  const socket = connect({ host, port })
  const list = encodeOption(nbd.NBD_OPT_LIST)
  const received: Buffer[] = []
  socket.on('data', bytes => received.push(bytes))
  socket.write(Buffer.concat([encodeClientFlags(3), encodeOption(nbd.NBD_OPT_STARTTLS), list]))
  await once(socket, 'close')
  expect(Buffer.concat(received).includes('disk')).toBe(false)
})

it('does not listen with a certificate that is none', async () => {
  const tls = { cert: 'x', key: 'y', clientCa: 'z' }
  const refused = { fault: { code: 'BAD_INPUT' } }
  await expect(server.listenTcp({ host, port: 0, tls })).rejects.toMatchObject(refused)
})
