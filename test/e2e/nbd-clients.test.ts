// Goal: the usual NBD clients, which we did not write, agree with our server about every byte.
// Method: each of them as a real process against a device in memory served by this one.
import { execFile } from 'node:child_process'
import { createHash } from 'node:crypto'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { describe, expect } from 'vitest'
import { nbdUri } from '../../node/nbd/uri.ts'
import { KiB, MiB } from '../../protocols/limits.ts'
import { makeAuthority } from '../support/nbd-certificates.ts'
import { type NbdHarness, startNbd } from '../support/nbd-harness.ts'
import { seeded } from '../support/nbd-sessions.ts'
import { needs } from '../support/process-tools.ts'

const execute = promisify(execFile)
const SIZE = 64 * MiB
/** Leaves no file of its state behind. */
const FIO = ['--name=verify', '--ioengine=nbd', '--verify_state_save=0']

async function run(tool: string, ...args: string[]): Promise<string> {
  const { stdout } = await execute(tool, args, { timeout: 60_000, maxBuffer: 16 * MiB })
  return stdout
}

function uriOf(nbd: NbdHarness): string {
  return nbdUri(nbd.socketPath, 'disk')
}

/** Data, holes and odd edges. */
async function writeImage(path: string): Promise<Buffer> {
  const image = Buffer.alloc(SIZE)
  const random = seeded(42)
  for (let i = 0; i < 60; i++) {
    const at = Math.floor(random() * (SIZE - MiB))
    const length = 1 + Math.floor(random() * 400 * KiB)
    for (let j = at; j < at + length; j += 8) image.writeUInt32BE(Math.floor(random() * 2 ** 32), j)
  }
  await writeFile(path, image)
  return image
}

function hash(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex')
}

describe('real clients', () => {
  needs('nbdinfo')('nbdinfo finds the export, what it can do, and its map', async () => {
    await using nbd = await startNbd({ sizeBytes: SIZE })
    const client = await nbd.client()
    await client.write(MiB, Buffer.alloc(MiB, 1))
    const list = await run('nbdinfo', '--list', '--json', `nbd+unix:///?socket=${nbd.socketPath}`)
    const info = JSON.parse(list).exports[0]
    const can = { can_multi_conn: true, can_fua: true, can_trim: true, can_zero: true }
    const blocks = { block_size_minimum: 1, block_size_preferred: 4096 }
    expect(info).toMatchObject({
      ...{ 'export-name': 'disk', 'export-size': SIZE, description: 'a disk in memory' },
      ...{ ...can, can_df: true, can_fast_zero: true, can_cache: true, is_read_only: false },
      ...{ ...blocks, block_size_maximum: 32 * MiB }
    })
    const map = JSON.parse(await run('nbdinfo', '--map', '--json', uriOf(nbd)))
    expect(map).toMatchObject([
      { offset: 0, length: MiB, type: 3 },
      { offset: MiB, length: MiB, type: 0 },
      { offset: 2 * MiB, length: SIZE - 2 * MiB, type: 3 }
    ])
  })

  needs('nbdinfo')('nbdinfo gets in over TLS with a certificate, and not without', async () => {
    await using nbd = await startNbd({ sizeBytes: SIZE })
    const authority = makeAuthority('clients and servers')
    const tls = { ...authority.issue('localhost'), clientCa: authority.cert }
    const { port } = await nbd.server.listenTcp({ host: '127.0.0.1', port: 0, tls })
    const { cert, key } = authority.issue('client')
    await writeFile(join(nbd.directory, 'ca-cert.pem'), authority.cert)
    await writeFile(join(nbd.directory, 'client-cert.pem'), cert)
    await writeFile(join(nbd.directory, 'client-key.pem'), key)
    const uri = `nbds://localhost:${port}/disk`
    const size = await run('nbdinfo', '--size', `${uri}?tls-certificates=${nbd.directory}`)
    expect(Number(size)).toBe(SIZE)
    await expect(run('nbdinfo', '--size', uri)).rejects.toThrow()
    await expect(run('nbdinfo', '--size', `nbd://localhost:${port}/disk`)).rejects.toThrow(/TLS/)
  })

  needs('qemu-img')('qemu-img converts in and out, compares, and maps', async () => {
    await using nbd = await startNbd({ sizeBytes: SIZE })
    const source = join(nbd.directory, 'source.raw')
    const target = join(nbd.directory, 'target.raw')
    const image = await writeImage(source)
    const uri = uriOf(nbd)
    const info = JSON.parse(await run('qemu-img', 'info', '--output=json', uri))
    expect(info['virtual-size']).toBe(SIZE)
    await run('qemu-img', 'convert', '-n', '-W', '-m', '8', '-f', 'raw', '-O', 'raw', source, uri)
    expect(await run('qemu-img', 'compare', '-f', 'raw', '-F', 'raw', source, uri)).toMatch(
      /identical/
    )
    await run('qemu-img', 'convert', '-f', 'raw', '-O', 'raw', uri, target)
    expect(hash(await readFile(target))).toBe(hash(image))
    const map = JSON.parse(await run('qemu-img', 'map', '--output=json', '-f', 'raw', uri))
    expect(map.some((extent: { data: boolean }) => !extent.data)).toBe(true)
  })

  needs('qemu-io')('qemu-io reads, writes, zeroes, discards and flushes', async () => {
    await using nbd = await startNbd({ sizeBytes: SIZE })
    const commands = [
      'write -P 17 4096 65536',
      'write -f -P 18 1 511',
      'aio_write -P 19 1048576 1048576',
      'aio_write -P 20 3145728 2097152',
      'aio_flush',
      'write -z 8192 4096',
      'write -z -u 16384 4096',
      'discard 32768 8192',
      'flush',
      'read -P 18 1 511',
      'read -P 17 4096 4096',
      'read -P 0 8192 4096',
      'read -P 0 16384 4096',
      'read -P 0 32768 8192',
      'read -P 19 1048576 1048576',
      'read -P 20 3145728 2097152'
    ]
    const args = commands.flatMap(command => ['-c', command])
    const output = await run('qemu-io', '-f', 'raw', '-d', 'unmap', ...args, uriOf(nbd))
    expect(output).not.toMatch(/failed|error/i)
    expect(nbd.device.flushes).toBeGreaterThan(0)
  })

  needs('nbdcopy')('nbdcopy copies in and out over several connections', async () => {
    await using nbd = await startNbd({ sizeBytes: SIZE })
    const source = join(nbd.directory, 'source.raw')
    const target = join(nbd.directory, 'target.raw')
    const image = await writeImage(source)
    await run('nbdcopy', '--flush', source, uriOf(nbd))
    await run('nbdcopy', '--connections=4', uriOf(nbd), target)
    expect(hash(await readFile(target))).toBe(hash(image))
  })

  needs('fio')('fio verifies what it wrote at 32 in flight', async () => {
    await using nbd = await startNbd({ sizeBytes: SIZE })
    const job = ['--rw=randwrite', '--bsrange=512-128k', '--iodepth=32', '--verify=crc32c']
    const size = ['--size=48M', '--verify_fatal=1', '--do_verify=1', '--bs_unaligned']
    const uri = `--uri=${uriOf(nbd)}`
    const output = await run('fio', ...FIO, uri, ...job, ...size)
    expect(output).toMatch(/err= 0/)
  })
})
