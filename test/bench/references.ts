/**
 * What the bench compares with: nbdkit serving a file, and the same two hops as ours in C: nbdkit's
 * nbd plugin in front of a second nbdkit that serves a file over TLS on loopback, with
 * certificates (so that GnuTLS chooses AES). Both use the page cache, and pass a flush on to
 * fdatasync, as our storage nodes do.
 */
import { mkdirSync, truncateSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { Child, freePort, run, runOk, until } from '../support/process-spawn.ts'

/** A block server under test. */
export interface Subject {
  readonly name: string
  readonly uri: string
  /** How it was started, to repeat it by hand. */
  readonly commands: readonly string[]
  /** The processes that serve: their CPU time counts. */
  pids(): number[]
  stop(): Promise<void>
}

export async function startFileReference(scratch: string, sizeBytes: number): Promise<Subject> {
  const socket = join(scratch, 'file.sock')
  const disk = newDisk(join(scratch, 'file.img'), sizeBytes)
  const args = ['-f', '-U', socket, 'file', disk]
  const child = new Child('nbdkit file', 'nbdkit', args)
  const uri = unixUri(socket)
  await serving(child, uri)
  return subject('nbdkit file', uri, [child], [args])
}

export async function startTwoHopReference(scratch: string, sizeBytes: number): Promise<Subject> {
  const socket = join(scratch, 'two-hop.sock')
  const disk = newDisk(join(scratch, 'two-hop.img'), sizeBytes)
  const certificates = await makeCertificates(join(scratch, 'pki'))
  // nbdkit 1.32 cannot choose a port itself.
  const port = String(await freePort())
  const tls = `--tls-certificates=${certificates}`
  const backArgs = ['-f', '-i', '127.0.0.1', '-p', port, '--tls=require', tls, 'file', disk]
  const back = new Child('nbdkit back', 'nbdkit', backArgs)
  await listening(back, Number(port))
  const frontTls = ['tls=require', `tls-certificates=${certificates}`]
  const frontArgs = ['-f', '-U', socket, 'nbd', 'hostname=localhost', `port=${port}`, ...frontTls]
  const front = new Child('nbdkit front', 'nbdkit', frontArgs)
  const uri = unixUri(socket)
  await serving(front, uri)
  return subject('two hops in C', uri, [front, back], [backArgs, frontArgs])
}

function subject(
  name: string,
  uri: string,
  children: readonly Child[],
  args: ReadonlyArray<readonly string[]>
): Subject {
  return {
    name,
    uri,
    commands: args.map(words => `nbdkit ${words.join(' ')}`),
    pids: () => children.map(child => child.pid),
    stop: async () => {
      for (const child of children) await child.stop()
    }
  }
}

function unixUri(socket: string): string {
  return `nbd+unix:///?socket=${socket}`
}

function newDisk(path: string, sizeBytes: number): string {
  writeFileSync(path, '')
  truncateSync(path, sizeBytes)
  return path
}

async function serving(child: Child, uri: string): Promise<void> {
  await until(`${child.title} serves`, async () => {
    if (child.outcome) throw new Error(child.tail())
    return (await run('nbdinfo', ['--size', uri])).code === 0
  })
}

async function listening(child: Child, port: number): Promise<void> {
  await until(`${child.title} listens`, async () => {
    if (child.outcome) throw new Error(child.tail())
    return isTaken(port)
  })
}

function isTaken(port: number): Promise<boolean> {
  return new Promise(resolve => {
    const probe = createServer()
    probe.on('error', () => resolve(true))
    probe.listen(port, '127.0.0.1', () => probe.close(() => resolve(false)))
  })
}

/** A throw-away authority and one certificate for localhost, laid out as nbdkit wants them. */
async function makeCertificates(directory: string): Promise<string> {
  mkdirSync(directory, { recursive: true })
  const file = (name: string): string => join(directory, name)
  const certtool = (...args: string[]): Promise<string> => runOk('certtool', args)
  writeFileSync(file('ca.info'), 'cn = bench\nca\ncert_signing_key\n')
  const names = 'cn = localhost\ndns_name = localhost\nip_address = 127.0.0.1\n'
  writeFileSync(file('server.info'), `${names}tls_www_server\nsigning_key\nencryption_key\n`)
  for (const who of ['ca', 'server']) {
    const key = file(`${who}-key.pem`)
    await certtool('--generate-privkey', '--key-type=rsa', '--bits=2048', `--outfile=${key}`)
  }
  await certtool(
    '--generate-self-signed',
    `--load-privkey=${file('ca-key.pem')}`,
    `--template=${file('ca.info')}`,
    `--outfile=${file('ca-cert.pem')}`
  )
  await certtool(
    '--generate-certificate',
    `--load-ca-certificate=${file('ca-cert.pem')}`,
    `--load-ca-privkey=${file('ca-key.pem')}`,
    `--load-privkey=${file('server-key.pem')}`,
    `--template=${file('server.info')}`,
    `--outfile=${file('server-cert.pem')}`
  )
  return directory
}
