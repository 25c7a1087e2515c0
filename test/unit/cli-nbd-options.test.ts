// Goal: NBD over TCP is asked for in one clear way, and anything else is refused with words.
// Method: good and bad values of both options; certificates in a real directory.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { nbdOptions } from '../../cli/nbd-options.ts'

describe('NBD over TCP', () => {
  it('is off unless asked for', () => {
    expect(nbdOptions({})).toEqual({})
  })

  it('takes a host and a port, IPv6 in brackets', () => {
    expect(nbdOptions({ nbdListen: '127.0.0.1:10809' }).nbd).toEqual({
      host: '127.0.0.1',
      port: 10809
    })
    expect(nbdOptions({ nbdListen: '[::1]:0' }).nbd).toEqual({ host: '::1', port: 0 })
  })

  it.each(['', '10809', 'host', 'host:', ':1', 'host:70000', 'a:b:1', 'host:1e3'])(
    'refuses %j with an example',
    nbdListen => {
      expect(() => nbdOptions({ nbdListen })).toThrow('127.0.0.1:10809')
    }
  )

  it('refuses certificates without a place, and names a file that is missing', () => {
    expect(() => nbdOptions({ nbdTls: '/etc/pki' })).toThrow('--nbd-listen')
    const dir = mkdtempSync(join(tmpdir(), 'shoal-tls-'))
    try {
      writeFileSync(join(dir, 'server-cert.pem'), 'cert')
      expect(() => nbdOptions({ nbdListen: 'h:1', nbdTls: dir })).toThrow('server-key.pem')
      writeFileSync(join(dir, 'server-key.pem'), 'key')
      writeFileSync(join(dir, 'ca-cert.pem'), 'ca')
      const tls = { cert: 'cert', key: 'key', clientCa: 'ca' }
      expect(nbdOptions({ nbdListen: 'h:1', nbdTls: dir }).nbd?.tls).toEqual(tls)
    } finally {
      rmSync(dir, { recursive: true })
    }
  })
})
