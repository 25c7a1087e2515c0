/** `--nbd-listen` and `--nbd-tls`: where NBD is served over TCP, and with which certificates. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { messageOf, ShoalError } from '../protocols/fault.ts'

interface NbdOptions {
  readonly nbdListen?: string
  readonly nbdTls?: string
}

interface Tcp {
  readonly host: string
  readonly port: number
  readonly tls?: Tls
}

/** PEM texts, from files named as QEMU's tls-creds-x509 wants them. */
interface Tls {
  readonly cert: string
  readonly key: string
  readonly clientCa: string
}

/** Throws ShoalError BAD_INPUT. */
export function nbdOptions({ nbdListen, nbdTls }: NbdOptions): { nbd?: Tcp } {
  if (nbdListen === undefined) {
    if (nbdTls === undefined) return {}
    throw badInput(
      'nbd-tls',
      '--nbd-tls says with which certificates: say where, with --nbd-listen'
    )
  }
  const match = /^(\[[0-9a-fA-F:]+\]|[^:[\]]+):([0-9]{1,5})$/.exec(nbdListen)
  const [, name = '', digits = ''] = match ?? []
  const port = Number(digits)
  if (match === null || port > 65_535) {
    throw badInput('nbd-listen', 'give --nbd-listen as HOST:PORT, for example 127.0.0.1:10809')
  }
  const host = name.replace(/^\[|\]$/g, '')
  return { nbd: { host, port, ...(nbdTls === undefined ? {} : { tls: readTls(nbdTls) }) } }
}

function readTls(dir: string): Tls {
  const read = (file: string): string => {
    try {
      return readFileSync(join(dir, file), 'utf8')
    } catch (cause) {
      throw badInput('nbd-tls', `cannot read ${file} in ${dir}: ${messageOf(cause)}`)
    }
  }
  return {
    cert: read('server-cert.pem'),
    key: read('server-key.pem'),
    clientCa: read('ca-cert.pem')
  }
}

function badInput(field: string, message: string): ShoalError {
  return new ShoalError({ code: 'BAD_INPUT', field }, message)
}
