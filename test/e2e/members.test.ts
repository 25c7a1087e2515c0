// Goal: an invite lets in exactly one node, once, in time; a revoked node is cut off everywhere.
// Method: real daemons; invites that are used, altered, late or of another mesh.
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { shoal } from '../support/process-cli.ts'
import { connectedNames } from '../support/process-control.ts'
import { useMesh } from '../support/process-fixture.ts'
import { nodeWords, ProcessMesh } from '../support/process-mesh.ts'
import { freePort, until } from '../support/process-spawn.ts'

const REVOCATION_MS = 10_000

describe('members', () => {
  const mesh = useMesh([
    { name: 'west', region: 'eu-west', capacity: '1G' },
    { name: 'north', region: 'eu-north', capacity: '1G' },
    { name: 'east', region: 'us-east', capacity: '1G' }
  ])
  let fresh = 0
  const join_ = (token: string, ...words: string[]) =>
    shoal(join(mesh().dir, `fresh${++fresh}`), ['join', token, ...DEFAULTS, ...words])

  it('an invite that was used is refused', async () => {
    const token = await mesh().invite()
    expect(await join_(token)).toMatchObject({ code: 0 })
    expect(await join_(token)).toMatchObject({ code: 1, stderr: expect.stringMatching(/used/) })
  })

  it('an invite that has expired is refused', async () => {
    const words = ['invite', '--valid', '1s']
    const invite = await mesh().first.json<{ token: string; expiresAt: number }>(...words)
    await until('it has expired', () => Date.now() > invite.expiresAt)
    const refused = await join_(invite.token, '--name', 'late')
    expect(refused).toMatchObject({ code: 1, stderr: expect.stringMatching(/expired/) })
  })

  it('an altered invite is refused, whatever was altered', async () => {
    const token = await mesh().invite()
    for (const at of [5, Math.floor(token.length / 2), token.length - 3]) {
      const other = token[at] === 'a' ? 'b' : 'a'
      const altered = token.slice(0, at) + other + token.slice(at + 1)
      expect(await join_(altered)).toMatchObject({
        code: 1,
        stderr: expect.stringMatching(/invite/)
      })
    }
    for (const text of ['', 'x', token.slice(0, -10), `${token}x`, '-rf', 'a'.repeat(5000)]) {
      expect((await join_(text)).code, text.slice(0, 20)).not.toBe(0)
    }
    expect(await join_(token, '--name', 'intact')).toMatchObject({ code: 0 })
  })

  it('an invite of a mesh that is gone names what could not be reached', async () => {
    const other = await ProcessMesh.start([{ name: 'other', region: 'eu-west', capacity: '1G' }])
    const token = await other.invite()
    await other.close()
    const refused = await join_(token)
    expect(refused.code).toBe(1)
    expect(refused.stderr).toMatch(/reach/)
  })

  it('an invite of another mesh is refused by the one that answers at its address', async () => {
    const plan = { name: 'foreign', region: 'eu-west', capacity: '1G', port: await freePort() }
    const gone = await ProcessMesh.start([plan])
    const token = await gone.invite()
    await gone.close()
    const here = await ProcessMesh.start([plan])
    const refused = await join_(token)
    await here.close()
    expect(refused).toMatchObject({ code: 1, stderr: expect.stringMatching(/reach|other|mesh/) })
    expect(refused.stdout).not.toMatch(/joined/)
  })

  it('a region that nobody joined with needs --new-region', async () => {
    const token = await mesh().invite()
    const refused = await shoal(join(mesh().dir, 'typo'), [
      ...['join', token, ...nodeWords('typo', 'eu-wset', '1G')]
    ])
    expect(refused).toMatchObject({ code: 1, stderr: expect.stringMatching(/eu-west/) })
  })

  it('a revoked node is cut off by everybody within seconds, and stays so', async () => {
    const [west, north, east] = mesh().nodes
    if (west === undefined || north === undefined || east === undefined) throw new Error('nodes')
    await west.json('revoke', 'east', '--yes')
    for (const node of [west, north]) {
      await until(
        `${node.name} has cut east off`,
        async () => !(await connectedNames(node.dir)).includes('east'),
        REVOCATION_MS
      )
    }
    await north.kill()
    await east.kill()
    await north.up()
    await mesh().converged([west, north])
    await east.up().catch(() => undefined)
    expect(await connectedNames(north.dir)).not.toContain('east')
    expect(await connectedNames(east.dir)).not.toContain('north')
  })
})

const DEFAULTS = nodeWords('fresh', 'eu-west', '1G')
