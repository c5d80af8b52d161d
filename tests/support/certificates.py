"""Certificates for tests, made by certtool: two authorities, a server, clients,
one that has expired and one of the other authority."""
import os
import shutil
import subprocess

from leveld import PATIENCE, Skip


def certtool(folder, *arguments):
    if shutil.which('certtool') is None:
        raise Skip('certtool is not installed')
    subprocess.run(['certtool', *arguments], cwd=folder, check=True,
                   capture_output=True, timeout=PATIENCE)


def make_certificate(folder, name, authority, *lines):
    """NAME.pem with NAME.key, of AUTHORITY; of its own key for None."""
    with open(os.path.join(folder, 'template'), 'w', encoding='ascii') as file:
        file.write('\n'.join((f'cn = "{name}"', *lines)) + '\n')
    if not os.path.exists(os.path.join(folder, f'{name}.key')):
        certtool(folder, '--generate-privkey', '--ecc', '--outfile',
                 f'{name}.key')
    kind = ('--generate-self-signed',) if authority is None else (
        '--generate-certificate', '--load-ca-certificate',
        f'{authority}.pem', '--load-ca-privkey', f'{authority}.key')
    certtool(folder, *kind, '--load-privkey', f'{name}.key', '--template',
             'template', '--outfile', f'{name}.pem')


def make_certificates(folder):
    soon = 'expiration_days = 30'
    past = ('activation_date = "2020-01-01 00:00:00"',
            'expiration_date = "2020-02-01 00:00:00"')
    server = ('dns_name = "localhost"', 'ip_address = "127.0.0.1"',
              'tls_www_server', 'signing_key')
    client = ('tls_www_client', 'signing_key')
    for name in ('ca', 'other-ca'):
        make_certificate(folder, name, None, 'ca', 'cert_signing_key', soon)
    make_certificate(folder, 'server', 'ca', *server, soon)
    make_certificate(folder, 'client', 'ca', *client, soon)
    make_certificate(folder, 'expired', 'ca', *client, *past)
    make_certificate(folder, 'stranger', 'other-ca', *client, soon)
