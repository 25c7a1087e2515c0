/**
 * How people and programs name an export: its NBD URI (the NBD URI specification), and lines that
 * can be pasted into the usual clients.
 */

/** `nbd+unix:///NAME?socket=PATH`. */
export function nbdUri(socketPath: string, exportName: string): string {
  const socket = encodeURIComponent(socketPath).replaceAll('%2F', '/')
  return `nbd+unix:///${encodeURIComponent(exportName)}?socket=${socket}`
}

/** `nbds://HOST:PORT/NAME`, or `nbd://` without TLS. */
export function nbdTcpUri(host: string, port: number, exportName: string, tls: boolean): string {
  const bracketed = host.includes(':') ? `[${host}]` : host
  return `${tls ? 'nbds' : 'nbd'}://${bracketed}:${port}/${encodeURIComponent(exportName)}`
}

export interface PasteLine {
  readonly tool: 'qemu' | 'qemu-img' | 'nbd-client' | 'libvirt'
  /** One line for a shell; for libvirt the XML of a disk. */
  readonly text: string
}

/** What to paste to use an export on this host. */
export function pasteLines(socketPath: string, exportName: string): PasteLine[] {
  const uri = nbdUri(socketPath, exportName)
  const drive = `-drive ${shellQuote(`file=${uri.replaceAll(',', ',,')},format=raw,if=virtio,cache=none,discard=unmap`)}`
  const client = `sudo nbd-client -unix ${shellQuote(socketPath)} -N ${shellQuote(exportName)} /dev/nbd0`
  return [
    { tool: 'qemu', text: `qemu-system-x86_64 -m 1G ${drive}` },
    { tool: 'qemu-img', text: `qemu-img convert -p -n -f raw -O raw disk.img ${shellQuote(uri)}` },
    { tool: 'nbd-client', text: client },
    { tool: 'libvirt', text: libvirtDisk(socketPath, exportName) }
  ]
}

function libvirtDisk(socketPath: string, exportName: string): string {
  return [
    "<disk type='network' device='disk'>",
    "  <driver name='qemu' type='raw' cache='none' discard='unmap'/>",
    `  <source protocol='nbd' name='${xmlQuote(exportName)}'>`,
    `    <host transport='unix' socket='${xmlQuote(socketPath)}'/>`,
    '  </source>',
    "  <target dev='vda' bus='virtio'/>",
    '</disk>'
  ].join('\n')
}

function shellQuote(text: string): string {
  return /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`
}

function xmlQuote(text: string): string {
  return text
    .replaceAll('&', '&amp;')
    .replaceAll('<', '&lt;')
    .replaceAll('>', '&gt;')
    .replaceAll("'", '&apos;')
    .replaceAll('"', '&quot;')
}
