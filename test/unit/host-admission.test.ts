// Goal: members find and trust each other over real sockets; nobody else gets anything.
// Method: real libp2p hosts on loopback, with honest and dishonest diallers.
import { afterEach, describe, expect, it } from 'vitest'
import { z } from 'zod'
import { HostMesh, until } from '../support/host-mesh.ts'

let mesh = new HostMesh()
afterEach(async () => {
  await mesh.close()
  mesh = new HostMesh()
})

describe('two members', () => {
  for (const encryption of ['tls', 'noise'] as const) {
    it(`join, connect and call each other over ${encryption}`, async () => {
      const a = await mesh.init('first', { encryption: [encryption] })
      const b = await mesh.grow(a, 'second', { encryption: [encryption] })
      a.rpc.serve('/test/echo/1', z.object({ text: z.string() }), async (from, { text }) => ({
        text: `${text} ${from === b.identity.id}`
      }))
      await mesh.connect(a, b)
      const answer = await b.rpc.call(
        a.identity.id,
        '/test/echo/1',
        { text: 'hello' },
        z.object({ text: z.string() })
      )
      expect(answer.text).toBe('hello true')
      await until(() => b.host.roundTripMs(a.identity.id) !== undefined)
    })
  }
})
