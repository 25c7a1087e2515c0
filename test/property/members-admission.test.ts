// Goal: no bytes make a decoder of admission throw, and nothing that was altered is believed.
// Method: random bytes, random CBOR, and single flipped bits in good messages; chains of all shapes.
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { Certificate, Chain } from '../../protocols/admission/certificate.ts'
import {
  isDueForRenewal,
  issueCertificate,
  judgeChain,
  readChain
} from '../../protocols/admission/certificate.ts'
import { parseInviteText, readInvite, signInvite } from '../../protocols/admission/invite.ts'
import type { SigningKey } from '../../protocols/admission/keys.ts'
import {
  isMeshId,
  meshIdOf,
  nodeIdOf,
  publicKeyOf,
  signingKey
} from '../../protocols/admission/keys.ts'
import type { Hello } from '../../protocols/admission/messages.ts'
import {
  decodeAnswer,
  decodeHello,
  encodeAnswer,
  encodeHello,
  refusal
} from '../../protocols/admission/messages.ts'
import {
  addRevocation,
  readRevocation,
  signRevocation
} from '../../protocols/admission/revocation.ts'
import { decodeCbor, encodeCbor } from '../../protocols/cbor.ts'
import type { NodeId, Nonce } from '../../protocols/ids.ts'
import { isNodeId } from '../../protocols/ids.ts'

const seed = process.env.SEED === undefined ? Date.now() : Number(process.env.SEED)
const runs = { seed, numRuns: 500 }

const key = (fill: number): SigningKey => signingKey(new Uint8Array(32).fill(fill))
const meshKey = key(1)
const mesh = meshIdOf(meshKey.publicKey)
const [adminKey, nodeKey, otherKey] = [key(2), key(3), key(4)]
const idOf = (one: SigningKey): NodeId => nodeIdOf(one.publicKey)

function certificate(over: Partial<Certificate>): Certificate {
  return {
    mesh,
    peer: idOf(nodeKey),
    role: 'node',
    region: 'north',
    name: 'n',
    issuedAt: 1000,
    expiresAt: 4000,
    serial: '0123456789abcdef' as Nonce,
    issuer: idOf(adminKey),
    ...over
  }
}

const adminCertificate = issueCertificate(
  meshKey,
  certificate({ peer: idOf(adminKey), role: 'admin', issuer: mesh, issuedAt: 500, expiresAt: 2000 })
)
const chain: Chain = [issueCertificate(adminKey, certificate({})), adminCertificate]
const invite = signInvite(adminKey, {
  mesh,
  issuer: idOf(adminKey),
  role: 'node',
  addresses: ['/ip4/127.0.0.1/tcp/1'],
  secret: new Uint8Array(16),
  issuedAt: 1,
  expiresAt: 2
})
const revocation = signRevocation(
  adminKey,
  {
    mesh,
    peer: idOf(otherKey),
    since: 5,
    at: 5,
    serial: '0123456789abcdef' as Nonce,
    issuer: idOf(adminKey)
  },
  [adminCertificate]
)
const hellos: Hello[] = [
  { kind: 'member', chain },
  { kind: 'renew', chain },
  { kind: 'join', invite, region: 'north', newRegion: false, name: 'n', host: 'h' }
]

function readAnything(bytes: Uint8Array): void {
  decodeCbor(bytes)
  decodeHello(bytes)
  decodeAnswer(bytes)
  readInvite(bytes)
  readRevocation(bytes, mesh)
  readChain([bytes], mesh)
  parseInviteText(Buffer.from(bytes).toString('latin1'))
  parseInviteText(`shoal1${Buffer.from(bytes).toString('latin1')}`)
  publicKeyOf(Buffer.from(bytes).toString('latin1'))
}

function flipped(bytes: Uint8Array, bit: number): Uint8Array {
  const copy = bytes.slice()
  const at = bit % (bytes.length * 8)
  copy[at >> 3] = (copy[at >> 3] ?? 0) ^ (1 << (at & 7))
  return copy
}

describe(`decoders of admission (SEED=${seed})`, () => {
  it('are total', () => {
    fc.assert(fc.property(fc.uint8Array({ maxLength: 400 }), readAnything), runs)
    const cbor = fc.anything({ withTypedArray: false, maxDepth: 4 }).map(value => {
      try {
        return encodeCbor(value)
      } catch {
        return new Uint8Array()
      }
    })
    fc.assert(fc.property(cbor, readAnything), runs)
    readAnything(new Uint8Array(200_000).fill(0x81))
  })

  it('give back what was encoded', () => {
    for (const hello of hellos) expect(decodeHello(encodeHello(hello))).toEqual(hello)
    const answers = [
      { kind: 'welcome', chain },
      { kind: 'renewed', chain },
      { kind: 'joined', chain, peers: [{ id: idOf(nodeKey), addresses: ['/ip4/1.2.3.4/tcp/5'] }] },
      refusal({ code: 'UNKNOWN_REGION', region: 'x', known: ['north'] }, 'no')
    ] as const
    for (const answer of answers) expect(decodeAnswer(encodeAnswer(answer))).toEqual(answer)
  })

  it('believe nothing in which a bit was flipped', () => {
    fc.assert(
      fc.property(fc.nat(), fc.integer({ min: 0, max: 3 }), (bit, which) => {
        if (which === 0) expect(typeof readInvite(flipped(invite, bit))).toBe('string')
        if (which === 1) expect(readRevocation(flipped(revocation, bit), mesh)).toBeUndefined()
        const at = which - 2
        if (which < 2) return
        const altered = chain.map((one, i) => (i === at ? flipped(one, bit) : one))
        expect(typeof readChain(altered, mesh)).toBe('string')
      }),
      runs
    )
  })
})

describe('a chain', () => {
  it('leads up to the mesh key, or is refused', () => {
    expect(readChain(chain, mesh)).toHaveLength(2)
    expect(readChain(chain, meshIdOf(otherKey.publicKey))).toBe('FOREIGN_MESH')
    expect(readChain([], mesh)).toBe('BAD_MESSAGE')
    expect(readChain(chain.slice(0, 1), mesh)).toBe('BAD_SIGNATURE')
    expect(readChain([...chain].reverse(), mesh)).toBe('BAD_SIGNATURE')
    expect(readChain([...chain, adminCertificate], mesh)).toBe('BAD_SIGNATURE')
  })

  it('is refused if a plain node, or an admin outside its time, signed', () => {
    const byNode = certificate({ peer: idOf(otherKey), issuer: idOf(nodeKey) })
    expect(readChain([issueCertificate(nodeKey, byNode), ...chain], mesh)).toBe('BAD_SIGNATURE')
    for (const issuedAt of [499, 2001]) {
      const late = issueCertificate(adminKey, certificate({ issuedAt }))
      expect(readChain([late, adminCertificate], mesh)).toBe('BAD_SIGNATURE')
    }
    const self = certificate({ issuer: mesh })
    expect(readChain([issueCertificate(nodeKey, self)], mesh)).toBe('BAD_SIGNATURE')
  })

  it('stays good when its issuer expires, and ends when it expires itself', () => {
    const read = readChain(chain, mesh)
    if (typeof read === 'string') throw new Error(read)
    expect(judgeChain(read, new Map(), 3999)).toBe('valid')
    expect(judgeChain(read, new Map(), 4000)).toBe('expired')
    const [own] = read
    expect(own !== undefined && isDueForRenewal(own, 2999)).toBe(false)
    expect(own !== undefined && isDueForRenewal(own, 3000)).toBe(true)
  })

  it('falls with its node, and with its issuer only if issued since the revocation', () => {
    const read = readChain(chain, mesh)
    if (typeof read === 'string') throw new Error(read)
    expect(judgeChain(read, new Map([[idOf(nodeKey), 9999]]), 1500)).toBe('revoked')
    expect(judgeChain(read, new Map([[idOf(adminKey), 1001]]), 1500)).toBe('valid')
    expect(judgeChain(read, new Map([[idOf(adminKey), 1000]]), 1500)).toBe('revoked')
  })
})

describe('revocations', () => {
  it('count only from an admin or the mesh key, and in any order alike', () => {
    const base = { mesh, at: 9, serial: '0123456789abcdef' as Nonce }
    const peer = idOf(otherKey)
    const byNode = { ...base, peer, since: 9, issuer: idOf(nodeKey) }
    expect(readRevocation(signRevocation(nodeKey, byNode, chain), mesh)).toBeUndefined()
    const byMesh = { ...base, peer, since: 3, issuer: mesh }
    const strict = readRevocation(signRevocation(meshKey, byMesh, []), mesh)
    const mild = readRevocation(revocation, mesh)
    if (strict === undefined || mild === undefined) throw new Error('both are good')
    for (const order of [
      [strict, mild],
      [mild, strict]
    ]) {
      const known = new Map<NodeId, number>()
      for (const one of order) addRevocation(known, one)
      expect(known).toEqual(new Map([[peer, 3]]))
    }
  })
})

describe('ids', () => {
  it('carry their public keys', () => {
    expect(isNodeId(idOf(nodeKey))).toBe(true)
    expect(publicKeyOf(idOf(nodeKey))).toEqual(nodeKey.publicKey)
    expect(isMeshId(mesh)).toBe(true)
    expect(isMeshId(idOf(nodeKey))).toBe(false)
    expect(publicKeyOf(mesh)).toEqual(meshKey.publicKey)
  })
})
