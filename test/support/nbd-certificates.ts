/**
 * X.509 certificates for tests of TLS, made on the spot, so that none is stored and none expires:
 * DER by hand (RFC 5280), ECDSA P-256.
 */
import { generateKeyPairSync, type KeyObject, randomBytes, sign } from 'node:crypto'

export interface TestAuthority {
  readonly cert: string
  issue: (name: string) => { cert: string; key: string }
}

const OID_ECDSA_SHA256 = '06082a8648ce3d040302'
const OID_COMMON_NAME = '0603550403'
const OID_BASIC_CONSTRAINTS = '0603551d13'
const OID_SUBJECT_ALT_NAME = '0603551d11'

export function makeAuthority(name: string): TestAuthority {
  const own = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const isAuthority = extension(OID_BASIC_CONSTRAINTS, der(0x30, Buffer.from([1, 1, 0xff])))
  const subject = { subject: name, issuer: name, signer: own.privateKey }
  return {
    cert: certificate({ ...subject, key: own.publicKey, extensions: [isAuthority] }),
    issue: host => {
      const pair = generateKeyPairSync('ec', { namedCurve: 'P-256' })
      const names = der(0x30, der(0x82, Buffer.from(host, 'ascii')))
      const cert = certificate({
        ...{ subject: host, issuer: name, signer: own.privateKey, key: pair.publicKey },
        extensions: [extension(OID_SUBJECT_ALT_NAME, names)]
      })
      return { cert, key: pair.privateKey.export({ type: 'pkcs8', format: 'pem' }).toString() }
    }
  }
}

interface Parts {
  readonly subject: string
  readonly issuer: string
  readonly key: KeyObject
  readonly signer: KeyObject
  readonly extensions: Buffer[]
}

function certificate({ subject, issuer, key, signer, extensions }: Parts): string {
  const algorithm = der(0x30, Buffer.from(OID_ECDSA_SHA256, 'hex'))
  const serial = Buffer.concat([Buffer.from([1]), randomBytes(8)])
  const body = der(
    0x30,
    der(0xa0, der(0x02, Buffer.from([2]))),
    der(0x02, serial),
    algorithm,
    distinguishedName(issuer),
    der(0x30, time(-3600), time(3600 * 24)),
    distinguishedName(subject),
    key.export({ type: 'spki', format: 'der' }),
    der(0xa3, der(0x30, ...extensions))
  )
  const signature = Buffer.concat([Buffer.from([0]), sign('sha256', body, signer)])
  const base64 = der(0x30, body, algorithm, der(0x03, signature)).toString('base64')
  const lines = base64.match(/.{1,64}/g) ?? []
  return `-----BEGIN CERTIFICATE-----\n${lines.join('\n')}\n-----END CERTIFICATE-----\n`
}

function distinguishedName(name: string): Buffer {
  const text = der(0x0c, Buffer.from(name, 'utf8'))
  return der(0x30, der(0x31, der(0x30, Buffer.from(OID_COMMON_NAME, 'hex'), text)))
}

function extension(oid: string, value: Buffer): Buffer {
  const critical = Buffer.from([1, 1, 0xff])
  return der(0x30, Buffer.from(oid, 'hex'), critical, der(0x04, value))
}

function time(secondsFromNow: number): Buffer {
  const text = new Date(Date.now() + secondsFromNow * 1000).toISOString().replaceAll(/[-:T]/g, '')
  return der(0x18, Buffer.from(`${text.slice(0, 14)}Z`, 'ascii'))
}

function der(tag: number, ...content: Buffer[]): Buffer {
  const body = Buffer.concat(content)
  if (body.length < 128) return Buffer.concat([Buffer.from([tag, body.length]), body])
  const length = Buffer.alloc(2)
  length.writeUInt16BE(body.length)
  return Buffer.concat([Buffer.from([tag, 0x82]), length, body])
}
