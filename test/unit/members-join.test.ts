// Goal: only a good invite lets a node in, once, and every refusal says what to do.
// Method: real joins against a real issuer on loopback, with invites and choices of every bad kind.
import { readdir, readFile, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { base58btc } from 'multiformats/bases/base58'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { systemClock, systemRandom } from '../../node/clock.ts'
import { loadIdentity, loadPeers } from '../../node/members/identity.ts'
import { initMesh } from '../../node/members/init.ts'
import { InviteLedger } from '../../node/members/invite-ledger.ts'
import type { JoinOptions } from '../../node/members/join.ts'
import { joinMesh, readToken } from '../../node/members/join.ts'
import { openRecoveryKey, sealRecoveryKey } from '../../node/members/recovery.ts'
import { INVITE_PREFIX, inviteMark } from '../../protocols/admission/invite.ts'
import { meshIdOf, signingKey } from '../../protocols/admission/keys.ts'
import type { FaultCode } from '../../protocols/fault.ts'
import { isFault } from '../../protocols/fault.ts'
import type { Member } from '../support/host-mesh.ts'
import { HostMesh, shiftedClock, silentLog } from '../support/host-mesh.ts'

let mesh = new HostMesh()
let issuer: Member
const shifted = shiftedClock()

beforeEach(async () => {
  issuer = await mesh.init('first', { clock: shifted.clock })
})
afterEach(async () => {
  await mesh.close()
  mesh = new HostMesh()
})

async function attempt(token: string, over: Partial<JoinOptions> = {}) {
  const dir = over.dir ?? (await mesh.directory())
  const choices = { ...mesh.choices(dir, 'second'), log: silentLog, newRegion: false }
  return joinMesh({ ...choices, token, ...over })
}

const withCode = (code: FaultCode) => (error: unknown) => isFault(error, code)
const invite = (): string => issuer.members.createInvite().text

describe('an invite', () => {
  it('makes a member, with a private identity file and peers to dial', async () => {
    const dir = await mesh.directory()
    const identity = await attempt(invite(), { dir })
    expect(identity.role).toBe('node')
    expect(await loadIdentity(dir)).toEqual({ ...identity, key: expect.anything() })
    expect((await stat(join(dir, 'identity.json'))).mode & 0o777).toBe(0o600)
    expect((await loadPeers(dir))[0]?.id).toBe(issuer.identity.id)
    expect((await readdir(dir)).toSorted()).toEqual(['binding', 'identity.json', 'peers.json'])
  })

  it('that expired is refused', async () => {
    const token = issuer.members.createInvite({ ttlMs: 1000 }).text
    shifted.shift(1001)
    await expect(attempt(token)).rejects.toSatisfy(withCode('EXPIRED'))
  })

  it('that was altered anywhere is refused before anything is dialled', async () => {
    const token = invite()
    const sealed = base58btc.decode(token.slice(INVITE_PREFIX.length))
    for (let at = 0; at < sealed.length; at += 23) {
      const altered = sealed.slice()
      altered[at] = (altered[at] ?? 0) ^ 1
      const text = `${INVITE_PREFIX}${base58btc.encode(altered)}`
      expect(() => readToken(text)).toThrow(/altered/)
    }
    await expect(attempt(token.slice(0, -4))).rejects.toSatisfy(withCode('BAD_SIGNATURE'))
    await expect(attempt('hello')).rejects.toSatisfy(withCode('BAD_INPUT'))
  })

  it('is used up by one node, whatever happens at the same time', async () => {
    const token = invite()
    const tries = await Promise.allSettled(
      ['b', 'c', 'd'].map(name => attempt(token, { name, host: name }))
    )
    expect(tries.filter(one => one.status === 'fulfilled')).toHaveLength(1)
    for (const one of tries) {
      if (one.status === 'rejected') expect(isFault(one.reason, 'INVITE_USED')).toBe(true)
    }
    await expect(attempt(token)).rejects.toSatisfy(withCode('INVITE_USED'))
  })

  it('stays used after the issuer restarted', async () => {
    const token = invite()
    await attempt(token)
    const { invite: read } = readToken(token)
    const ledger = await InviteLedger.load(issuer.dir)
    expect(ledger.find(inviteMark(read))?.name).toBe('second')
  })

  it('gives the same peer its certificate again when the answer was lost', async () => {
    const token = invite()
    const first = await mesh.directory()
    const identity = await attempt(token, { dir: first })
    const retry = await mesh.directory()
    await writeFile(join(retry, 'joining'), identity.seed)
    const again = await attempt(token, { dir: retry })
    expect(again.id).toBe(identity.id)
    expect(again.chain).toEqual(identity.chain)
  })

  it('of another mesh does not pass at an issuer with the same key', async () => {
    const foreign = await mesh.init('foreign')
    const token = foreign.members.createInvite().text
    const { sealed } = readToken(token)
    const answer = await issuer.members.answer(foreign.identity.id, {
      kind: 'join',
      invite: sealed,
      region: 'north',
      newRegion: false,
      name: 'x',
      host: 'x'
    })
    expect(answer).toMatchObject({ kind: 'refused', fault: { code: 'FOREIGN_MESH' } })
  })

  it('for an unknown region is refused with the known ones, unless it is meant', async () => {
    const token = invite()
    const refused = attempt(token, { region: 'nroth' })
    await expect(refused).rejects.toThrow(/known: north/)
    await expect(refused).rejects.toSatisfy(withCode('UNKNOWN_REGION'))
    const identity = await attempt(token, { region: 'south', newRegion: true })
    expect(identity.region).toBe('south')
    await attempt(invite(), { region: 'south', name: 'third' })
  })

  it('for a name that is taken is refused, and can be used with another name', async () => {
    const token = invite()
    await expect(attempt(token, { name: 'first' })).rejects.toSatisfy(withCode('NAME_TAKEN'))
    await attempt(token, { name: 'second' })
    await expect(attempt(invite(), { name: 'second' })).rejects.toSatisfy(withCode('NAME_TAKEN'))
  })

  it('frees the name of a node that was revoked', async () => {
    const identity = await attempt(invite())
    await issuer.members.revoke(identity.id)
    expect((await attempt(invite())).name).toBe('second')
  })

  it('is never issued by a node that is no admin', async () => {
    const b = await mesh.grow(issuer, 'second')
    expect(() => b.members.createInvite()).toThrow(/admin/)
  })

  it('can make an admin, who lets others in', async () => {
    const dir = await mesh.directory()
    const token = issuer.members.createInvite({ role: 'admin' }).text
    const admin = await mesh.start(dir, await attempt(token, { dir, name: 'deputy' }))
    const identity = await attempt(admin.members.createInvite().text, { name: 'third' })
    expect(identity.chain).toHaveLength(3)
  })

  it('whose issuer is away says so', async () => {
    const token = invite()
    await issuer.stop()
    await expect(attempt(token)).rejects.toThrow(/cannot be reached/)
  })
})

describe('choices', () => {
  const bad = ['', '../x', '-rf', 'x'.repeat(5000), 'a\u0000b', 'Upper', 'a..b', '.hidden']
  for (const name of bad) {
    it(`refuse the name ${JSON.stringify(name.slice(0, 12))}`, async () => {
      await expect(attempt(invite(), { name })).rejects.toSatisfy(withCode('BAD_INPUT'))
      await expect(attempt(invite(), { region: name })).rejects.toSatisfy(withCode('BAD_INPUT'))
    })
  }

  it('refuse a directory in which a node lives', async () => {
    const dir = await mesh.directory()
    await attempt(invite(), { dir })
    const again = attempt(invite(), { dir, name: 'third' })
    await expect(again).rejects.toThrow(/a node lives there already/)
  })
})

describe('an identity file', () => {
  it('that was edited or exchanged is found at the next start', async () => {
    const dir = await mesh.directory()
    await attempt(invite(), { dir })
    const path = join(dir, 'identity.json')
    const file = JSON.parse(await readFile(path, 'utf8')) as Record<string, unknown>
    const other = JSON.parse(await readFile(join(issuer.dir, 'identity.json'), 'utf8'))
    for (const edited of [{ seed: other.seed }, { mesh: 'x' }, { chain: [] }, { format: 'a' }]) {
      await writeFile(path, JSON.stringify({ ...file, ...edited }))
      await expect(loadIdentity(dir)).rejects.toThrow(/identity.json cannot be read/)
    }
    await writeFile(path, JSON.stringify({ ...file, format: 2 }))
    await expect(loadIdentity(dir)).rejects.toThrow(/newer Shoal/)
  })
})

describe('a recovery key', () => {
  it('opens with its passphrase alone, and makes a new admin of the same mesh', async () => {
    const dir = await mesh.directory()
    const common = { clock: systemClock, random: systemRandom }
    const made = await initMesh({ ...mesh.choices(dir, 'x'), ...common, passphrase: 'low tide' })
    const stored = await Promise.all((await readdir(dir)).map(name => readFile(join(dir, name))))
    const seed = await openRecoveryKey(made.recoveryKey, 'low tide')
    expect(meshIdOf(signingKey(seed).publicKey)).toBe(made.identity.mesh)
    for (const content of stored) {
      expect(content.includes(Buffer.from(seed))).toBe(false)
      expect(content.includes(Buffer.from(seed).toString('base64'))).toBe(false)
    }
    await expect(openRecoveryKey(made.recoveryKey, 'high tide')).rejects.toThrow(/passphrase/)
    await expect(openRecoveryKey(`${made.recoveryKey}1`, 'low tide')).rejects.toThrow()
    const anew = await initMesh({
      ...mesh.choices(await mesh.directory(), 'y'),
      ...common,
      passphrase: 'low tide',
      recoveryKey: made.recoveryKey
    })
    expect(anew.identity.mesh).toBe(made.identity.mesh)
    expect(await sealRecoveryKey(seed, 'low tide', systemRandom)).not.toBe(made.recoveryKey)
  })
})
